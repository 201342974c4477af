#include "agent/attest/attestor_config.h"

#include <optional>

namespace signet::agent {
namespace {

X509PopOptions ReadX509Pop(ConfigMap map) {
  X509PopOptions options;
  options.certificate_path =
      map.RequiredString("certificate_path", "a PEM file: the node's certificate, intermediates");
  options.private_key_path =
      map.RequiredString("private_key_path", "a PEM file of mode 0600: the certificate's key");
  options.intermediates_path = map.String("intermediates_path", "");
  map.Finish();
  return options;
}

SshPopOptions ReadSshPop(ConfigMap map) {
  SshPopOptions options;
  options.host_key_path = map.String("host_key_path", options.host_key_path);
  options.host_cert_path = map.String("host_cert_path", options.host_cert_path);
  map.Finish();
  return options;
}

HttpChallengeOptions ReadHttpChallenge(ConfigMap map) {
  HttpChallengeOptions options;
  options.host_name = map.String("hostname", "");
  options.agent_name = map.String("agentname", options.agent_name);
  options.port = static_cast<std::uint16_t>(map.Int("port", 0, 0, 65535));
  options.advertised_port = static_cast<std::uint16_t>(map.Int("advertised_port", 0, 0, 65535));
  map.Finish();
  return options;
}

}  // namespace

NodeAttestorOptions ReadNodeAttestor(ConfigMap* root, JoinTokenOptions token) {
  auto map = root->Map("node_attestor");
  if (!map) return token;
  const bool has_token = token.token != nullptr || !token.token_path.empty();
  std::optional<NodeAttestorOptions> options;
  int sections = 0;
  if (auto join_token = map->Map("join_token")) {
    ++sections;
    join_token->Finish();
    options = std::move(token);
  }
  if (auto x509pop = map->Map("x509pop")) {
    ++sections;
    options = ReadX509Pop(std::move(*x509pop));
  }
  if (auto sshpop = map->Map("sshpop")) {
    ++sections;
    options = ReadSshPop(std::move(*sshpop));
  }
  if (auto http_challenge = map->Map("http_challenge")) {
    ++sections;
    options = ReadHttpChallenge(std::move(*http_challenge));
  }
  map->Finish();
  if (sections != 1) {
    root->Problem("node_attestor", std::to_string(sections) + " kinds of proof are set",
                  "exactly one of join_token, x509pop, sshpop, http_challenge");
    return JoinTokenOptions();
  }
  if (has_token && !std::holds_alternative<JoinTokenOptions>(*options))
    root->Problem("node_attestor", "a join token and another kind of proof are both set",
                  "leave out join_token, join_token_file and --join-token");
  return *std::move(options);
}

std::unique_ptr<NodeAttestor> MakeNodeAttestor(const NodeAttestorOptions& options,
                                               const AttestorWorld& world) {
  if (const auto* x509pop = std::get_if<X509PopOptions>(&options))
    return std::make_unique<X509PopAttestor>(*x509pop, world.random);
  if (const auto* sshpop = std::get_if<SshPopOptions>(&options))
    return std::make_unique<SshPopAttestor>(*sshpop, world.random);
  if (const auto* http_challenge = std::get_if<HttpChallengeOptions>(&options))
    return std::make_unique<HttpChallengeAttestor>(*http_challenge, world.clock);
  return std::make_unique<JoinTokenAttestor>(std::get<JoinTokenOptions>(options), world.state,
                                             world.log);
}

}  // namespace signet::agent
