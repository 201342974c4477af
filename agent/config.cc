#include "agent/config.h"

#include <sys/un.h>

#include <algorithm>

namespace signet::agent {
namespace {

constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

void ReadTrustDomain(ConfigMap* root, AgentConfig* config) {
  const std::string name =
      root->RequiredString("trust_domain", "the name of the trust domain, such as example.org");
  if (name.empty()) return;
  auto parsed = identity::TrustDomain::FromNameOrId(name);
  if (parsed) {
    config->trust_domain = std::move(*parsed);
  } else {
    root->Problem("trust_domain", parsed.error().Message(), "a name such as example.org");
  }
  config->attest.trust_domain = config->trust_domain;
}

void ReadServer(ConfigMap* root, AgentConfig* config) {
  const std::string text =
      root->RequiredString("server", "where signet-server listens, such as 10.0.0.5:8081");
  if (text.empty()) return;
  auto address = net::Address::Parse(text);
  if (address && !address->is_unix) {
    config->server = std::move(*address);
  } else {
    root->Problem("server", address ? "not a TCP address" : address.error().Message(),
                  "host:port, such as signet.example.org:8081");
  }
}

void ReadSocket(ConfigMap* root, const ConfigOverrides& overrides, AgentConfig* config) {
  config->socket = root->String("socket", config->socket);
  if (!overrides.socket.empty()) config->socket = overrides.socket;
  if (config->socket.starts_with("unix:")) config->socket.erase(0, 5);
  if (config->socket.starts_with("//")) config->socket.erase(0, 2);
  if (!config->socket.starts_with('/'))
    root->Problem("socket", "not an absolute path: " + config->socket,
                  "such as /run/signet/agent/api.sock");
  if (config->socket.size() > kMaxSocketPath)
    root->Problem("socket",
                  "a socket path has at most " + std::to_string(kMaxSocketPath) +
                      " bytes, this one has " + std::to_string(config->socket.size()),
                  "choose a shorter folder");
  const std::string mode = root->String("socket_mode", "0777");
  const bool octal =
      !mode.empty() && mode.size() <= 4 && mode.find_first_not_of("01234567") == mode.npos;
  if (octal) {
    config->socket_mode = static_cast<mode_t>(std::stoul(mode, nullptr, 8));
  } else {
    root->Problem("socket_mode", "not a file mode: " + mode, "octal digits, such as 0777 or 0770");
  }
}

void ReadTrust(ConfigMap* root, AgentConfig* config) {
  config->attest.trust_bundle_path = root->String("trust_bundle", "");
  const auto digest = root->String("trust_bundle_digest");
  if (config->attest.trust_bundle_path.empty() == !digest.has_value()) {
    root->Problem(digest ? "trust_bundle_digest" : "trust_bundle",
                  digest ? "trust_bundle and trust_bundle_digest are both set"
                         : "the agent cannot know its server: neither trust_bundle nor "
                           "trust_bundle_digest is set",
                  "trust_bundle: a file made with `signet bundle show`; trust_bundle_digest: the "
                  "SHA-256 of its root");
    return;
  }
  if (!digest) return;
  std::string hex = *digest;
  std::erase(hex, ':');
  std::transform(hex.begin(), hex.end(), hex.begin(), [](char c) {
    return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const auto bytes = DecodeHex(hex);
  ca::Sha256Digest pin{};
  if (!bytes || bytes->size() != pin.size()) {
    root->Problem("trust_bundle_digest", "not a SHA-256 digest", "64 hexadecimal digits");
    return;
  }
  std::copy(bytes->begin(), bytes->end(), pin.begin());
  config->attest.pin = pin;
}

JoinTokenOptions ReadToken(ConfigMap* root, const ConfigOverrides& overrides) {
  JoinTokenOptions options;
  std::string token = root->String("join_token", "");
  options.token_path = root->String("join_token_file", "");
  if (!token.empty() && !options.token_path.empty())
    root->Problem("join_token_file", "join_token and join_token_file are both set",
                  "keep join_token_file");
  if (!overrides.join_token.empty()) token = overrides.join_token;
  if (token.empty()) return options;
  options.token = std::make_shared<const SecretBytes>(AsBytes(token));
  WipeBytes({reinterpret_cast<std::uint8_t*>(token.data()), token.size()});
  return options;
}

void ReadDisk(ConfigMap* root, const ConfigOverrides& overrides, AgentConfig* config) {
  config->disk_cache = root->Bool("disk_cache", true);
  const auto text = root->String("seal_key");
  if (!text) return;
  auto source = SealKeySource::Parse(*text, overrides.credentials_dir);
  if (source) {
    config->seal_key = std::move(*source);
  } else {
    root->Problem("seal_key", source.error().Message(),
                  "file:/var/lib/signet/agent/kek, credential:signet-agent-kek or "
                  "keyring:signet-agent-kek");
  }
}

void ReadAttestors(ConfigMap* root, AgentConfig* config) {
  auto attestors = root->Map("attestors");
  if (!attestors) return;
  if (auto unix_map = attestors->Map("unix")) {
    config->unix_attestor.discover_path = unix_map->Bool("discover_path", false);
    config->unix_attestor.sha256_limit = static_cast<std::uint64_t>(
        unix_map->Int("sha256_limit", static_cast<std::int64_t>(config->unix_attestor.sha256_limit),
                      0, std::int64_t{1} << 34));
    unix_map->Finish();
  }
  config->workload_attestors = ReadWorkloadAttestors(&*attestors);
  attestors->Finish();
}

void ReadLimits(ConfigMap* root, AgentConfig* config) {
  auto limits = root->Map("limits");
  if (!limits) return;
  const auto read = [&](std::string_view key, std::size_t* value) {
    *value =
        static_cast<std::size_t>(limits->Int(key, static_cast<std::int64_t>(*value), 1, 1'000'000));
  };
  read("connections", &config->limits.connections);
  read("connections_per_user", &config->limits.connections_per_uid);
  read("streams_per_user", &config->limits.streams_per_uid);
  read("svids", &config->most_svids);
  limits->Finish();
}

void ReadKeyType(ConfigMap* root, AgentConfig* config) {
  const auto name = root->String("workload_x509_svid_key_type");
  if (!name) return;
  const auto type = ca::ParseKeyType(*name);
  if (type && (*type == ca::KeyType::kEcP256 || *type == ca::KeyType::kEcP384 ||
               *type == ca::KeyType::kRsa2048)) {
    config->workload_key_type = *type;
  } else {
    root->Problem("workload_x509_svid_key_type", "no key type for workloads: " + *name,
                  "ec-p256, ec-p384 or rsa-2048");
  }
}

void ReadLogAndMetrics(ConfigMap* root, AgentConfig* config) {
  if (auto log = root->Map("log")) {
    const std::string level = log->String("level", "info");
    if (!ParseLogLevel(level, &config->log_level))
      log->Problem("level", "no such level: " + level, "trace, debug, info, warn, error or off");
    const std::string format = log->String("format", "text");
    if (format != "text" && format != "json")
      log->Problem("format", "no such format: " + format, "text or json");
    config->log_format = format == "json" ? LogFormat::kJson : LogFormat::kText;
    log->Finish();
  }
  const auto metrics = root->String("metrics");
  if (!metrics) return;
  auto address = net::Address::Parse(*metrics);
  if (address && !address->is_unix) {
    config->metrics = std::move(*address);
  } else {
    root->Problem("metrics", address ? "not a TCP address" : address.error().Message(),
                  "such as 127.0.0.1:9090");
  }
}

AgentConfig ReadAll(ConfigMap root, const ConfigOverrides& overrides) {
  AgentConfig config;
  ReadTrustDomain(&root, &config);
  config.data_dir = root.RequiredString(
      "data_dir", "a folder of this agent's own, such as /var/lib/signet/agent");
  ReadServer(&root, &config);
  ReadSocket(&root, overrides, &config);
  ReadTrust(&root, &config);
  config.node_attestor = ReadNodeAttestor(&root, ReadToken(&root, overrides));
  ReadDisk(&root, overrides, &config);
  ReadAttestors(&root, &config);
  ReadLimits(&root, &config);
  config.endpoints = ReadEndpointOptions(&root);
  config.files = ReadFileSets(&root);
  ReadKeyType(&root, &config);
  config.sync_interval = root.Duration("sync_interval", config.sync_interval,
                                       std::chrono::milliseconds(100), std::chrono::hours(1));
  ReadLogAndMetrics(&root, &config);
  root.Finish();
  return config;
}

}  // namespace

AgentConfig LoadConfig(const std::string& path, const ConfigOverrides& overrides,
                       ConfigProblems* problems) {
  auto root = ConfigMap::Load(path, problems);
  if (!problems->empty()) return {};
  return ReadAll(std::move(root), overrides);
}

AgentConfig ParseConfig(std::string_view text, const std::string& name,
                        const ConfigOverrides& overrides, ConfigProblems* problems) {
  auto root = ConfigMap::Parse(text, name, problems);
  if (!problems->empty()) return {};
  return ReadAll(std::move(root), overrides);
}

}  // namespace signet::agent
