#include "proxy/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "proxy/route/traffic_config.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxListeners = 256;
constexpr std::size_t kMaxNameBytes = 64;

bool IsLoopback(const net::Address& address) {
  if (address.is_unix || address.host == "localhost") return true;
  in_addr v4{};
  if (::inet_pton(AF_INET, address.host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return ::inet_pton(AF_INET6, address.host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

// Metric labels and log fields: letters, digits, '-', '_' and '.'.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
             std::string_view::npos;
}

net::Address ReadAddress(ConfigMap& map, std::string_view key, std::string_view hint) {
  const std::string text = map.RequiredString(key, hint);
  if (text.empty()) return {};
  auto address = net::Address::Parse(text);
  if (address) return *std::move(address);
  map.Problem(key, fmt::format("'{}': {}", key, address.error().Message()), std::string(hint));
  return {};
}

// "/run/x.sock", "unix:/run/x.sock" or "unix:///run/x.sock"; empty when it is none of them.
std::string SocketPath(std::string_view text) {
  if (text.starts_with("unix://"))
    text.remove_prefix(7);
  else if (text.starts_with("unix:"))
    text.remove_prefix(5);
  return text.starts_with('/') ? std::string(text) : std::string();
}

std::string ReadWorkloadApi(ConfigMap& root, const std::string& endpoint_socket) {
  const auto written = root.String("workload_api");
  const std::string text = written                    ? *written
                           : !endpoint_socket.empty() ? endpoint_socket
                                                      : std::string(kDefaultWorkloadApi);
  std::string path = SocketPath(text);
  if (path.empty())
    root.Problem("workload_api",
                 fmt::format("'{}' is not the path of a Unix socket{}", text,
                             written ? "" : " (from SPIFFE_ENDPOINT_SOCKET)"),
                 "an absolute path; over TCP the agent cannot attest its caller");
  return path;
}

LimitsConfig ReadLimits(ConfigMap& root) {
  LimitsConfig limits;
  auto map = root.Map("limits");
  if (!map) return limits;
  const auto count = [&](std::string_view key, std::size_t fallback) {
    return static_cast<std::size_t>(
        map->Int(key, static_cast<std::int64_t>(fallback), 1, 1'000'000));
  };
  limits.connections = count("connections", limits.connections);
  limits.per_peer = count("per_peer", std::min(limits.per_peer, limits.connections));
  limits.handshakes = count("handshakes", limits.handshakes);
  limits.handshakes_per_address =
      count("handshakes_per_address", std::min(limits.handshakes, limits.handshakes_per_address));
  limits.handshake_deadline =
      map->Duration("handshake_deadline", limits.handshake_deadline, 100ms, 10min);
  limits.idle = map->Duration("idle", limits.idle, 100ms, 24h * 30);
  limits.connect_timeout = map->Duration("connect_timeout", limits.connect_timeout, 100ms, 10min);
  limits.detect_timeout = map->Duration("detect_timeout", limits.detect_timeout, 10ms, 1min);
  limits.drain = map->Duration("drain", limits.drain, 0s, 24h);
  limits.http = ReadHttpSettings(*map);
  limits.expiry_grace = map->Duration("expiry_grace", limits.expiry_grace, 0s, 24h);
  map->Finish();
  return limits;
}

void ReadLog(ConfigMap& root, ProxyConfig* config) {
  auto map = root.Map("log");
  if (!map) return;
  const std::string level = map->String("level", "info");
  if (!ParseLogLevel(level, &config->log_level))
    map->Problem("level", fmt::format("'{}' is not a log level", level),
                 "trace, debug, info, warn, error or off");
  const std::string format = map->String("format", "text");
  if (format == "json")
    config->log_format = LogFormat::kJson;
  else if (format != "text")
    map->Problem("format", fmt::format("'{}' is not a log format", format), "text or json");
  map->Finish();
}

std::string_view RulesKey(Direction direction) {
  return direction == Direction::kInbound ? "allow" : "expect";
}

bool ReadProxyProtocol(ConfigMap& map, Protocol carried) {
  const auto version = map.String("proxy_protocol");
  if (version && IsHttp(carried))
    map.Problem("proxy_protocol", "HTTP requests are told of their caller in header fields",
                "leave it out, or carry TCP");
  if (version && *version != "v2")
    map.Problem("proxy_protocol", fmt::format("'{}' is not written", EscapeForLog(*version, 40)),
                "v2, or leave it out");
  return version.has_value();
}

std::string PolicyListener(const ListenerConfig& listener) {
  return fmt::format("{}/{}", DirectionName(listener.direction), listener.name);
}

// The rules that `map` holds for `listener`, whether beside it or in a file of rules.
mesh::RequestPolicy ReadPolicy(ConfigMap& map, const ListenerConfig& listener,
                               const std::string& path, ConfigProblems* problems) {
  const std::string name = PolicyListener(listener);
  if (listener.direction == Direction::kOutbound)
    return mesh::RequestPolicy::ReadExpected(map, {name, path, mesh::PolicyLayer::kPeer}, problems);
  const auto layer =
      MayBeHttp(listener.protocol) ? mesh::PolicyLayer::kRequest : mesh::PolicyLayer::kConnection;
  return mesh::RequestPolicy::Read(map, {name, path, layer}, problems);
}

// No rule can name a caller there: TLS is not ended, so nobody proves who they are.
void ReadPassthrough(ConfigMap& map, ListenerConfig* listener) {
  for (const std::string_view key : {"allow", "deny", "expect", "proxy_protocol"})
    if (map.Ignore(key))
      map.Problem(
          key, fmt::format("'{}' says nothing where TLS is passed on: no identity is known", key),
          "server_names, and sources in them");
  listener->server_names = ReadServerNames(map, listener->forward);
}

void CheckPlainSide(ConfigMap& map, const ListenerConfig& listener, bool unsafe) {
  if (listener.direction != Direction::kOutbound || unsafe || listener.listen.host.empty() ||
      IsLoopback(listener.listen))
    return;
  map.Problem("listen",
              fmt::format("outbound listener '{}' would accept plain connections from other hosts "
                          "on {} and lend them this proxy's identity",
                          listener.name, listener.listen_text),
              "listen on 127.0.0.1, [::1] or a unix: socket, or set unsafe_listen: true");
}

ListenerConfig ReadListener(ConfigMap& map, Direction direction, const std::string& path,
                            ConfigProblems* problems) {
  ListenerConfig listener;
  listener.direction = direction;
  listener.name = map.RequiredString("name", "a short name such as web");
  if (!listener.name.empty() && !IsName(listener.name))
    map.Problem("name", fmt::format("'{}' is not a listener name", EscapeForLog(listener.name, 80)),
                "at most 64 letters, digits, '-', '_' and '.'");
  const ProtocolConfig protocol = ReadProtocol(map, direction == Direction::kInbound);
  listener.protocol = protocol.protocol;
  listener.upstream_protocol = protocol.upstream;
  listener.connect = protocol.connect;
  const bool passes_tls = protocol.protocol == Protocol::kTlsPassthrough;
  listener.listen_text = map.String("listen", "");
  listener.listen = ReadAddress(map, "listen", "an address such as 127.0.0.1:9000 or unix:/run/x");
  if (map.Has("forward") || !(map.Has("backends") || passes_tls))
    listener.forward = ReadAddress(map, "forward", "an address such as 127.0.0.1:8080");
  if (!listener.forward.host.empty() && !listener.forward.is_unix && listener.forward.port == 0)
    map.Problem("forward", "'forward' has no port to connect to", "host:port");
  if (!IsHttp(listener.protocol) && listener.has_forward() &&
      listener.forward.ToString() == listener.listen.ToString())
    map.Problem("forward", fmt::format("listener '{}' forwards to itself", listener.name),
                "the address of what it stands before");
  if (direction == Direction::kOutbound)
    CheckPlainSide(map, listener, map.Bool("unsafe_listen", false));
  const std::string_view key = RulesKey(direction);
  if (direction == Direction::kInbound && !passes_tls)
    listener.proxy_protocol = ReadProxyProtocol(map, listener.protocol);
  listener.max_connection_age = map.Duration("max_connection_age", 0s, 1s, 24h * 365);
  listener.policy_place = fmt::format("{}:{}", map.file(), map.Line(key));
  if (passes_tls)
    ReadPassthrough(map, &listener);
  else
    listener.policy = ReadPolicy(map, listener, path, problems);
  ReadListenerTraffic(map, path, &listener, problems);
  map.Finish();
  return listener;
}

void ReadListeners(ConfigMap& root, Direction direction, ProxyConfig* config,
                   ConfigProblems* problems) {
  const std::string_view key = DirectionName(direction);
  std::set<std::string> names;
  std::vector<ConfigMap> maps = root.Maps(key);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    ListenerConfig listener =
        ReadListener(maps[i], direction, fmt::format("{}[{}]", key, i), problems);
    if (!listener.name.empty() && !names.insert(listener.name).second)
      maps[i].Problem("name", fmt::format("a second {} listener is named '{}'", key, listener.name),
                      "names must differ: logs and metrics go by them");
    for (const ListenerConfig& other : config->listeners)
      if (!listener.listen_text.empty() && other.listen_text == listener.listen_text &&
          (listener.listen.is_unix || listener.listen.port != 0))
        maps[i].Problem("listen", fmt::format("{} is also the address of listener '{}'",
                                              listener.listen_text, other.name));
    config->listeners.push_back(std::move(listener));
  }
}

void AddRules(ConfigMap& map, const std::string& path, ListenerConfig* listener,
              ConfigProblems* problems) {
  ReadListenerTraffic(map, path, listener, problems);
  const mesh::RequestPolicy added = ReadPolicy(map, *listener, path, problems);
  const auto beside = listener->policy.rules();
  std::vector<mesh::PolicyRule> rules(beside.begin(), beside.end());
  rules.insert(rules.end(), added.rules().begin(), added.rules().end());
  mesh::CheckRules(rules, problems);
  if (rules.size() <= mesh::kMaxRules)
    listener->policy = mesh::RequestPolicy(PolicyListener(*listener), std::move(rules));
  listener->policy_place =
      fmt::format("{}:{}", map.file(), map.Line(RulesKey(listener->direction)));
}

// Rules of a file of their own, added to those beside the listeners.
void ReadRulesOf(ConfigMap& root, Direction direction, ProxyConfig* config,
                 ConfigProblems* problems) {
  std::vector<ConfigMap> maps = root.Maps(DirectionName(direction));
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const std::string name = maps[i].RequiredString("name", "the name of a configured listener");
    const std::string path = fmt::format("rules_file.{}[{}]", DirectionName(direction), i);
    const auto listener = std::ranges::find_if(config->listeners, [&](const ListenerConfig& l) {
      return l.direction == direction && l.name == name;
    });
    if (listener != config->listeners.end() && !listener->server_names.empty())
      maps[i].Problem("name", fmt::format("'{}' passes TLS on: rules say nothing there", name),
                      "server_names, beside the listener");
    else if (listener != config->listeners.end())
      AddRules(maps[i], path, &*listener, problems);
    else if (!name.empty())
      maps[i].Problem("name", fmt::format("no {} listener is named '{}'", DirectionName(direction),
                                          EscapeForLog(name, 80)));
    maps[i].Finish();
  }
}

void ReadRulesFile(ConfigMap& root, const std::string& config_path, ProxyConfig* config,
                   ConfigProblems* problems) {
  const auto written = root.String("rules_file");
  if (!written) return;
  std::filesystem::path path(*written);
  if (path.is_relative()) path = std::filesystem::path(config_path).parent_path() / path;
  config->files.push_back(path.string());
  ConfigMap rules = ConfigMap::Load(path.string(), problems);
  ReadRulesOf(rules, Direction::kInbound, config, problems);
  ReadRulesOf(rules, Direction::kOutbound, config, problems);
  (void)rules.Ignore("tests");        // of `signet policy test`
  (void)rules.Ignore("route_tests");  // of `signet route test`
  rules.Finish();
}

void WarnOfEmptyRules(ProxyConfig* config) {
  for (const ListenerConfig& listener : config->listeners) {
    if (!listener.policy.rules().empty() || !listener.server_names.empty()) continue;
    if (listener.direction == Direction::kOutbound && !listener.has_forward()) continue;
    config->warnings.push_back(fmt::format(
        "{}: {} listener '{}' has no {} rule: {}", listener.policy_place,
        DirectionName(listener.direction), listener.name, RulesKey(listener.direction),
        listener.direction == Direction::kInbound ? "it refuses every caller"
                                                  : "it trusts no peer and refuses all"));
  }
}

}  // namespace

std::shared_ptr<const ProxyConfig> LoadConfig(const std::string& path,
                                              const std::string& endpoint_socket,
                                              ConfigProblems* problems) {
  auto config = std::make_shared<ProxyConfig>();
  config->files.push_back(path);
  ConfigMap root = ConfigMap::Load(path, problems);
  const bool readable = problems->empty();
  config->workload_api = ReadWorkloadApi(root, endpoint_socket);
  ReadListeners(root, Direction::kInbound, config.get(), problems);
  ReadListeners(root, Direction::kOutbound, config.get(), problems);
  if (readable && !root.Has("inbound") && !root.Has("outbound"))
    root.ProblemAtLine(root.line(), "neither 'inbound' nor 'outbound' has a listener",
                       "see signet-proxy --help for an example");
  if (config->listeners.size() > kMaxListeners)
    root.ProblemAtLine(root.line(), fmt::format("more than {} listeners", kMaxListeners));
  config->limits = ReadLimits(root);
  config->threads = static_cast<std::size_t>(root.Int("threads", 0, 0, 256));
  if (root.Has("metrics"))
    config->metrics = ReadAddress(root, "metrics", "a loopback address such as 127.0.0.1:9090");
  ReadLog(root, config.get());
  config->telemetry = ReadTelemetry(root);
  ReadRulesFile(root, path, config.get(), problems);
  root.Finish();
  if (!problems->empty()) return nullptr;
  WarnOfEmptyRules(config.get());
  return config;
}

}  // namespace signet::proxy
