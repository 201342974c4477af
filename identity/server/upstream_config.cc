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

DiskUpstreamConfig ReadDisk(ConfigMap& map, const TrustDomain& trust_domain) {
  DiskUpstreamConfig config;
  config.certificate_file = map.RequiredString(
      "certificate_file", "PEM: the CA's certificate, then those that lead to its root");
  config.bundle_file = map.String("bundle_file", "");
  config.key_file = map.String("key_file", "");
  if (auto token = map.Map("pkcs11")) {
    ReadPkcs11(*token, &config.token);
    config.key_label = token->RequiredString("key_label", "the label of the CA's private key");
    if (!config.key_file.empty())
      map.Problem("key_file", "the key is in a file and in a token", "name one of them");
    token->Finish();
  } else if (config.key_file.empty()) {
    map.Problem(
        "type", "there is no key",
        "name key_file (PEM, mode 0600), or pkcs11 with module, token, pin_file, key_label");
  }
  config.limits = ReadLimits(map, trust_domain);
  return config;
}

SignetUpstreamConfig ReadSignet(ConfigMap& map) {
  constexpr std::size_t kMaxSocketPath = 107;  // the kernel's
  SignetUpstreamConfig config;
  const std::string server =
      map.RequiredString("server", "where the server above listens, such as 10.0.0.5:8081");
  auto address = net::Address::Parse(server);
  if (address && !address->is_unix) {
    config.server = *std::move(address);
  } else if (!server.empty()) {
    map.Problem("server", address ? "not a TCP address" : address.error().Message(),
                "host:port, such as signet.example.org:8081");
  }
  std::string& socket = config.workload_api_socket;
  socket = map.RequiredString("workload_api_socket",
                              "the socket of an agent of the server above, on this host: it gives "
                              "this server its identity");
  if (socket.starts_with("unix:")) socket.erase(0, 5);
  if (socket.starts_with("//")) socket.erase(0, 2);
  if (!socket.empty() && (!socket.starts_with('/') || socket.size() > kMaxSocketPath)) {
    map.Problem("workload_api_socket",
                "not an absolute path of at most 107 bytes: \"" + socket + "\"",
                "such as /run/signet/agent/api.sock");
  }
  return config;
}

}  // namespace

ca::DownstreamLimits ReadDownstream(ConfigMap& root, const TrustDomain& trust_domain) {
  auto map = root.Map("downstream_ca");
  if (!map) return {};
  ca::DownstreamLimits limits = ReadLimits(*map, trust_domain);
  map->Finish();
  return limits;
}

std::optional<UpstreamConfig> ReadUpstream(ConfigMap& root, const TrustDomain& trust_domain) {
  auto map = root.Map("upstream_authority");
  if (!map) return std::nullopt;
  const std::string type = map->RequiredString("type", "use type: disk, or type: signet");
  UpstreamConfig config;
  if (type == "signet") {
    config = ReadSignet(*map);
  } else if (type == "disk" || type.empty()) {
    config = ReadDisk(*map, trust_domain);
  } else {
    map->Problem("type", "unknown upstream authority \"" + type + "\"",
                 "disk (a CA in files), or signet (another Signet server, or a SPIRE server)");
    return std::nullopt;
  }
  map->Finish();
  return config;
}

}  // namespace signet::identity
