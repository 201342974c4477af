#include "identity/attest/config.h"

#include "base/file.h"
#include "ca/x509/path.h"
#include "identity/attest/join_token_attestor.h"
#include "identity/attest/trusted_file.h"
#include "identity/registry/registry.h"

namespace signet::identity {
namespace {

constexpr const char* kTrusted = "trusted authorities of node attestation";

constexpr std::size_t kMaxBundleBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxAnchors = 1000;
constexpr std::int64_t kMostIntermediates = 9;
constexpr std::int64_t kMostRsaBits = 16384;

using Anchors = std::vector<ca::Certificate>;

Result<Anchors> ReadAnchors(const std::vector<std::string>& paths) {
  Anchors anchors;
  for (const auto& path : paths) {
    SIGNET_TRY(const Bytes pem, ReadFile(path, kMaxBundleBytes));
    auto read = ca::ParsePem(AsText(pem), kMaxAnchors);
    if (!read)
      return Fail(Code::kFailedPrecondition, read.error().reason,
                  path + ": " + read.error().detail);
    if (read->empty())
      return Fail(Code::kFailedPrecondition, ca::kNoTrustAnchor, path + " holds no certificate");
    anchors.insert(anchors.end(), read->begin(), read->end());
  }
  return anchors;
}

std::optional<PathTemplate> ReadTemplate(ConfigMap& map, std::string_view fallback,
                                         std::span<const TemplateField> fields) {
  constexpr std::string_view kKey = "agent_path_template";
  auto path = PathTemplate::Parse(map.String(kKey, std::string(fallback)), fields);
  if (path) return *std::move(path);
  map.Problem(kKey, path.error().Message(), "for example \"" + std::string(fallback) + "\"");
  return std::nullopt;
}

std::vector<std::string> ReadPaths(ConfigMap& map, std::string_view one, std::string_view several) {
  std::vector<std::string> paths;
  for (const auto& path : map.Scalars(several)) paths.push_back(path.text);
  const auto single = map.String(one);
  if (single && !paths.empty())
    map.Problem(one, std::string(one) + " and " + std::string(several) + " are both set",
                "keep " + std::string(several));
  if (single) paths.push_back(*single);
  return paths;
}

void ReadSvidPrefix(ConfigMap& map, X509PopSettings* settings) {
  auto prefix = map.String("svid_prefix", settings->svid_prefix);
  if (!prefix.ends_with('/')) prefix += '/';
  if (!prefix.starts_with('/'))
    map.Problem("svid_prefix", "the beginning of a path is meant: \"" + prefix + "\"",
                "for example /spire-exchange");
  settings->svid_prefix = std::move(prefix);
}

X509PopSettings ReadX509Pop(ConfigMap map) {
  X509PopSettings settings;
  const auto mode = map.String("mode", "external_pki");
  if (mode == "spiffe") {
    settings.mode = X509PopMode::kSpiffe;
    ReadSvidPrefix(map, &settings);
  } else if (mode != "external_pki") {
    map.Problem("mode", "no such mode: \"" + mode + "\"", "external_pki or spiffe");
  }
  settings.ca_bundle_paths = ReadPaths(map, "ca_bundle_path", "ca_bundle_paths");
  const bool external = settings.mode == X509PopMode::kExternalPki;
  if (external == settings.ca_bundle_paths.empty()) {
    map.Problem("ca_bundle_path",
                external ? "the authorities of the nodes' certificates are not given"
                         : "in mode spiffe the authorities are the trust domain's own",
                external ? "ca_bundle_path: a PEM file of them" : "leave ca_bundle_path out");
  } else if (auto anchors = ReadAnchors(settings.ca_bundle_paths); !anchors) {
    map.Problem(map.Has("ca_bundle_path") ? "ca_bundle_path" : "ca_bundle_paths",
                anchors.error().Message(), "a PEM file of CA certificates");
  }
  settings.path = ReadTemplate(map, X509PopDefaultTemplate(settings.mode), X509PopFields());
  settings.max_intermediates = static_cast<std::size_t>(
      map.Int("max_intermediates", static_cast<std::int64_t>(settings.max_intermediates), 1,
              kMostIntermediates));
  settings.max_rsa_bits =
      static_cast<int>(map.Int("max_rsa_key_size", settings.max_rsa_bits, 2048, kMostRsaBits));
  map.Finish();
  return settings;
}

using SshAuthorities = std::vector<ca::SshPublicKey>;

// Lines as in authorized_keys, without options; empty ones and comments are skipped.
Result<SshAuthorities> ReadSshAuthorities(const std::vector<std::string>& paths) {
  SshAuthorities authorities;
  for (const auto& path : paths) {
    SIGNET_TRY(const Bytes content, ReadFile(path, kMaxBundleBytes));
    std::string_view rest = AsText(content);
    for (int number = 1; !rest.empty(); ++number) {
      const auto end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.empty() || line.front() == '#') continue;
      auto key = ca::SshPublicKey::ParseLine(line);
      if (!key)
        return Fail(Code::kFailedPrecondition, key.error().reason,
                    path + ":" + std::to_string(number) + ": " + key.error().detail);
      authorities.push_back(*std::move(key));
    }
    if (authorities.empty())
      return Fail(Code::kFailedPrecondition, ca::kSshMalformed, path + " holds no key");
  }
  return authorities;
}

SshPopSettings ReadSshPop(ConfigMap map) {
  SshPopSettings settings;
  for (const auto& line : map.Scalars("cert_authorities")) {
    auto key = ca::SshPublicKey::ParseLine(line.text);
    if (key) {
      settings.cert_authorities.push_back(*std::move(key));
    } else {
      map.ProblemAtLine(line.line, key.error().Message(),
                        "a line as in authorized_keys: \"ssh-ed25519 AAAA…\"");
    }
  }
  settings.cert_authorities_path = map.String("cert_authorities_path", "");
  if (!settings.cert_authorities_path.empty()) {
    if (auto keys = ReadSshAuthorities({settings.cert_authorities_path}); !keys)
      map.Problem("cert_authorities_path", keys.error().Message(),
                  "a file of lines as in authorized_keys");
  } else if (!map.Has("cert_authorities")) {
    map.Problem("cert_authorities", "the authorities of the hosts' certificates are not given",
                "cert_authorities: a list of keys; cert_authorities_path: a file of them");
  }
  settings.canonical_domain = map.String("canonical_domain", "");
  settings.path = ReadTemplate(map, kSshPopDefaultTemplate, SshPopFields());
  map.Finish();
  return settings;
}

HttpChallengeSettings ReadHttpChallenge(ConfigMap map) {
  HttpChallengeSettings settings;
  for (const auto& text : map.Scalars("allowed_dns_patterns")) {
    auto pattern = NamePattern::Parse(text.text);
    if (pattern) {
      settings.allowed_dns_patterns.push_back(*std::move(pattern));
    } else {
      map.ProblemAtLine(text.line, pattern.error().Message(),
                        "a POSIX extended regular expression for whole names, such as "
                        "'p[0-9]+\\.example\\.org'");
    }
  }
  if (map.Has("required_port"))
    settings.required_port = static_cast<std::uint16_t>(map.Int("required_port", 80, 1, 65535));
  settings.allow_non_root_ports = map.Bool("allow_non_root_ports", true);
  settings.tofu = map.Bool("tofu", true);
  if (!settings.tofu && settings.OpensNonRootPorts())
    map.Problem("tofu",
                "any user of a host may open a port from 1024 on: without trust on first "
                "use each of them could be the node",
                "set allow_non_root_ports to false or required_port below 1024");
  for (const auto& text : map.Scalars("allowed_addresses")) {
    auto range = net::AddressRange::Parse(text.text);
    if (range) {
      settings.allowed_addresses.push_back(*range);
    } else {
      map.ProblemAtLine(text.line, range.error().Message(), "for example 127.0.0.0/8");
    }
  }
  map.Finish();
  return settings;
}

// The authorities of mode spiffe: those of the own bundle at that moment. A tainted one is on its
// way out; what it signed does not let new nodes in.
std::function<X509PopAttestor::Anchors()> OwnAuthorities(const Registry& registry) {
  return [&registry] {
    auto anchors = std::make_shared<Anchors>();
    if (const auto bundle = registry.OwnBundle())
      for (const auto& authority : bundle->x509_authorities)
        if (!authority.tainted) anchors->push_back(authority.certificate);
    return anchors;
  };
}

Result<std::unique_ptr<const NodeAttestor>> MakeX509Pop(const X509PopSettings& settings,
                                                        const AttestorParts& parts) {
  std::function<X509PopAttestor::Anchors()> anchors;
  if (settings.mode == X509PopMode::kSpiffe) {
    anchors = OwnAuthorities(parts.registry);
  } else {
    SIGNET_TRY(auto files, TrustedFiles<Anchors>::Open(settings.ca_bundle_paths, kTrusted,
                                                       ReadAnchors, parts.log));
    anchors = [kept = std::shared_ptr<TrustedFiles<Anchors>>(std::move(files))] {
      return kept->Current();
    };
  }
  return std::make_unique<X509PopAttestor>(parts.trust_domain, settings, std::move(anchors),
                                           parts.clock, parts.random);
}

Result<std::unique_ptr<const NodeAttestor>> MakeSshPop(const SshPopSettings& settings,
                                                       const AttestorParts& parts) {
  auto written = std::make_shared<const SshAuthorities>(settings.cert_authorities);
  std::function<SshPopAttestor::Authorities()> authorities = [written] { return written; };
  if (!settings.cert_authorities_path.empty()) {
    auto read = [written](const std::vector<std::string>& paths) -> Result<SshAuthorities> {
      SIGNET_TRY(auto keys, ReadSshAuthorities(paths));
      keys.insert(keys.end(), written->begin(), written->end());
      return keys;
    };
    SIGNET_TRY(auto files,
               TrustedFiles<SshAuthorities>::Open({settings.cert_authorities_path}, kTrusted,
                                                  std::move(read), parts.log));
    authorities = [kept = std::shared_ptr<TrustedFiles<SshAuthorities>>(std::move(files))] {
      return kept->Current();
    };
  }
  return std::make_unique<SshPopAttestor>(parts.trust_domain, settings, std::move(authorities),
                                          parts.clock, parts.random);
}

}  // namespace

NodeAttestorsConfig ReadNodeAttestors(ConfigMap& root) {
  NodeAttestorsConfig config;
  auto map = root.Map("node_attestors");
  if (!map) return config;
  if (auto join_token = map->Map("join_token")) {
    config.join_token = join_token->Bool("enabled", true);
    join_token->Finish();
  }
  if (auto x509pop = map->Map("x509pop")) config.x509pop = ReadX509Pop(std::move(*x509pop));
  if (auto sshpop = map->Map("sshpop")) config.sshpop = ReadSshPop(std::move(*sshpop));
  if (auto http_challenge = map->Map("http_challenge"))
    config.http_challenge = ReadHttpChallenge(std::move(*http_challenge));
  map->Finish();
  return config;
}

Result<std::unique_ptr<NodeAttestors>> MakeNodeAttestors(const NodeAttestorsConfig& config,
                                                         const AttestorParts& parts) {
  std::vector<std::unique_ptr<const NodeAttestor>> attestors;
  if (config.join_token)
    attestors.push_back(std::make_unique<JoinTokenAttestor>(parts.trust_domain));
  if (config.x509pop) {
    SIGNET_TRY(auto made, MakeX509Pop(*config.x509pop, parts));
    attestors.push_back(std::move(made));
  }
  if (config.sshpop) {
    SIGNET_TRY(auto made, MakeSshPop(*config.sshpop, parts));
    attestors.push_back(std::move(made));
  }
  if (config.http_challenge) {
    attestors.push_back(std::make_unique<HttpChallengeAttestor>(
        parts.trust_domain, *config.http_challenge,
        [](const net::Address& address) { return address.Resolve(); }, parts.random, parts.log));
  }
  return std::make_unique<NodeAttestors>(std::move(attestors));
}

}  // namespace signet::identity
