#include "identity/server/upstream_config.h"

#include <algorithm>

#include "identity/server/key_store_config.h"

namespace signet::identity {
namespace {

// Host names as name constraints want them: "example.org", or ".example.org" for what is below it.
std::vector<std::string> ReadConstraints(ConfigMap& map, std::string_view key) {
  std::vector<std::string> names;
  for (const auto& value : map.Scalars(key)) {
    const std::string_view name =
        std::string_view(value.text).substr(value.text.starts_with('.') ? 1 : 0);
    if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-._") !=
                            std::string_view::npos) {
      map.ProblemAtLine(value.line, "not a host name: \"" + value.text + "\"",
                        "for example example.org; lower case, without scheme or port");
    }
    names.push_back(value.text);
  }
  return names;
}

ca::DownstreamLimits ReadLimits(ConfigMap& map, const TrustDomain& trust_domain) {
  constexpr std::int64_t kMaxPathLength = 6;  // chains of ten certificates are the longest read
  ca::DownstreamLimits limits;
  if (map.Has("path_length"))
    limits.path_length = static_cast<int>(map.Int("path_length", 0, 0, kMaxPathLength));
  limits.permitted_uri_hosts = ReadConstraints(map, "permitted_uri_hosts");
  limits.permitted_dns_names = ReadConstraints(map, "permitted_dns_names");
  const auto& hosts = limits.permitted_uri_hosts;
  if (!hosts.empty() && std::ranges::find(hosts, trust_domain.name()) == hosts.end()) {
    map.Problem("permitted_uri_hosts", "the own trust domain is not among them",
                "add " + trust_domain.name() + ", or no SVID below verifies");
  }
  return limits;
}

}  // namespace

ca::DownstreamLimits ReadDownstream(ConfigMap& root, const TrustDomain& trust_domain) {
  auto map = root.Map("downstream_ca");
  if (!map) return {};
  ca::DownstreamLimits limits = ReadLimits(*map, trust_domain);
  map->Finish();
  return limits;
}

std::optional<DiskUpstreamConfig> ReadUpstream(ConfigMap& root, const TrustDomain& trust_domain) {
  auto map = root.Map("upstream_authority");
  if (!map) return std::nullopt;
  DiskUpstreamConfig config;
  const std::string type = map->RequiredString("type", "use type: disk");
  if (!type.empty() && type != "disk")
    map->Problem("type", "unknown upstream authority \"" + type + "\"", "use disk");
  config.certificate_file = map->RequiredString(
      "certificate_file", "PEM: the CA's certificate, then those that lead to its root");
  config.bundle_file = map->String("bundle_file", "");
  config.key_file = map->String("key_file", "");
  if (auto token = map->Map("pkcs11")) {
    ReadPkcs11(*token, &config.token);
    config.key_label = token->RequiredString("key_label", "the label of the CA's private key");
    if (!config.key_file.empty())
      map->Problem("key_file", "the key is in a file and in a token", "name one of them");
    token->Finish();
  } else if (config.key_file.empty()) {
    map->Problem(
        "type", "there is no key",
        "name key_file (PEM, mode 0600), or pkcs11 with module, token, pin_file, key_label");
  }
  config.limits = ReadLimits(*map, trust_domain);
  map->Finish();
  return config;
}

}  // namespace signet::identity
