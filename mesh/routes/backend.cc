#include "mesh/routes/backend.h"

#include <fmt/format.h>

#include <set>

#include "base/log.h"

namespace signet::mesh {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxNameBytes = 64;
constexpr std::uint32_t kMaxWeight = 10'000;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
             std::string_view::npos;
}

class BackendReader {
 public:
  BackendReader(ConfigMap& config, const BackendScope& scope, ConfigProblems* problems)
      : config_(config), scope_(scope), problems_(problems) {}

  Backend Read(std::size_t index) {
    backend_.name = config_.RequiredString("name", "a short name such as stable");
    if (!backend_.name.empty() && !IsName(backend_.name))
      config_.Problem("name",
                      fmt::format("'{}' is not a backend's name", EscapeForLog(backend_.name, 80)),
                      "at most 64 letters, digits, '-', '_' and '.'");
    const std::string path = fmt::format("{}.backends[{}]", scope_.path, index);
    const RequestPolicy expect = ReadExpect(config_, path);
    ReadEndpoints(path, expect);
    ReadBalancing();
    if (auto map = config_.Map("outlier_detection")) ReadOutlierDetection(*map);
    if (auto map = config_.Map("circuit_breakers")) ReadCircuitBreakers(*map);
    if (auto map = config_.Map("health_check")) ReadHealthCheck(*map);
    if (auto map = config_.Map("retry_budget")) {
      backend_.retry.percent = static_cast<int>(map->Int("percent", 20, 0, 100));
      backend_.retry.min_per_second = static_cast<int>(map->Int("min_per_second", 3, 0, 1000));
      map->Finish();
    }
    backend_.panic_threshold = static_cast<int>(config_.Int("panic_threshold", 50, 0, 100));
    config_.Finish();
    return std::move(backend_);
  }

 private:
  RequestPolicy ReadExpect(ConfigMap& map, const std::string& path) {
    if (scope_.tls)
      return RequestPolicy::ReadExpected(map, {scope_.listener, path, PolicyLayer::kPeer},
                                         problems_);
    if (map.Ignore("expect"))
      map.Problem("expect", "an inbound listener's endpoints are plain and prove nothing",
                  "leave it out");
    return {};
  }

  void ReadEndpoints(const std::string& path, const RequestPolicy& expect) {
    std::vector<ConfigMap> maps = config_.Maps("endpoints");
    if (maps.empty())
      config_.ProblemAtLine(config_.line(),
                            fmt::format("backend '{}' has no endpoints", backend_.name),
                            "endpoints: [{address: …}]");
    if (maps.size() > kMaxEndpoints)
      return config_.Problem("endpoints", fmt::format("more than {} endpoints", kMaxEndpoints));
    std::set<std::string> addresses;
    for (std::size_t i = 0; i < maps.size(); ++i) {
      ConfigMap& map = maps[i];
      Endpoint endpoint;
      endpoint.file = map.file();
      endpoint.line = map.line();
      endpoint.address = map.RequiredString("address", "such as 10.0.0.7:8443");
      endpoint.weight = static_cast<std::uint32_t>(map.Int("weight", 1, 1, kMaxWeight));
      const bool own = map.Has("expect");
      endpoint.expect = ReadExpect(map, fmt::format("{}.endpoints[{}]", path, i));
      if (!own) endpoint.expect = expect;
      if (scope_.tls && endpoint.expect.rules().empty())
        map.ProblemAtLine(endpoint.line,
                          fmt::format("endpoint {} expects no identity: no peer could be trusted",
                                      EscapeForLog(endpoint.address, 80)),
                          "expect: [{id: spiffe://…}], here or for the whole backend");
      if (!endpoint.address.empty() && !addresses.insert(endpoint.address).second)
        map.Problem("address",
                    fmt::format("a second endpoint is at {}", EscapeForLog(endpoint.address, 80)),
                    "give the first one more weight");
      backend_.endpoints.push_back(std::move(endpoint));
      map.Finish();
    }
  }

  void ReadBalancing() {
    const std::string policy = config_.String("lb_policy", "LEAST_REQUEST");
    if (policy == "ROUND_ROBIN")
      backend_.lb_policy = LbPolicy::kRoundRobin;
    else if (policy == "RING_HASH")
      backend_.lb_policy = LbPolicy::kRingHash;
    else if (policy != "LEAST_REQUEST")
      config_.Problem("lb_policy",
                      fmt::format("'{}' is not a way to balance", EscapeForLog(policy, 40)),
                      "LEAST_REQUEST, ROUND_ROBIN or RING_HASH");
    const bool hashes = backend_.lb_policy == LbPolicy::kRingHash;
    auto hash = config_.Map("hash_policy");
    if (hash && !hashes)
      config_.Problem("hash_policy", "only RING_HASH asks for a key", "leave it out");
    if (hash) {
      backend_.hash.header = hash->String("header", "");
      for (char& c : backend_.hash.header)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      hash->Finish();
    }
    if (hashes && scope_.tls && backend_.hash.header.empty())
      config_.Problem("lb_policy",
                      "RING_HASH without a header goes by the caller's identity, and outbound "
                      "there is one caller",
                      "hash_policy: {header: x-user}");
  }

  void ReadOutlierDetection(ConfigMap& map) {
    OutlierDetection& outlier = backend_.outlier;
    outlier.consecutive_5xx = static_cast<int>(map.Int("consecutive_5xx", 5, 0, 1000));
    outlier.base_ejection_time = map.Duration("base_ejection_time", 30s, 100ms, 1h);
    outlier.max_ejection_time =
        map.Duration("max_ejection_time", std::max<Duration>(300s, outlier.base_ejection_time),
                     outlier.base_ejection_time, 24h);
    map.Finish();
  }

  void ReadCircuitBreakers(ConfigMap& map) {
    const auto limit = [&map](std::string_view key) {
      return static_cast<std::size_t>(map.Int(key, 0, 1, 1'000'000));
    };
    backend_.circuit.max_requests = limit("max_requests");
    backend_.circuit.max_pending_requests = limit("max_pending_requests");
    map.Finish();
  }

  void ReadHealthCheck(ConfigMap& map) {
    HealthCheck check;
    const std::string type = map.RequiredString("type", "TCP, HTTP or GRPC");
    if (type == "HTTP")
      check.type = HealthCheck::Type::kHttp;
    else if (type == "GRPC")
      check.type = HealthCheck::Type::kGrpc;
    else if (type != "TCP" && !type.empty())
      map.Problem("type", fmt::format("'{}' is not a health check", EscapeForLog(type, 40)),
                  "TCP, HTTP or GRPC");
    check.path = map.String("path", "/");
    if (CheckCanonicalPath(PathOf(check.path)) != TargetFault::kNone)
      map.Problem("path", fmt::format("'{}' is not a path", EscapeForLog(check.path, 80)),
                  "such as /healthz");
    check.host = map.String("host", "");
    if (map.Has("host") && ParseHost(check.host).fault != TargetFault::kNone)
      map.Problem("host", fmt::format("'{}' is not a host", EscapeForLog(check.host, 80)));
    check.service = map.String("service", "");
    if (check.service.size() > 127) map.Problem("service", "longer than 127 bytes");
    check.interval = map.Duration("interval", 10s, 100ms, 1h);
    check.timeout = map.Duration("timeout", std::min<Duration>(2s, check.interval), 10ms, 1min);
    check.unhealthy_threshold = static_cast<int>(map.Int("unhealthy_threshold", 3, 1, 100));
    check.healthy_threshold = static_cast<int>(map.Int("healthy_threshold", 2, 1, 100));
    map.Finish();
    backend_.health_check = std::move(check);
  }

  ConfigMap& config_;
  const BackendScope& scope_;
  ConfigProblems* problems_;
  Backend backend_;
};

}  // namespace

std::vector<Backend> ReadBackends(ConfigMap& listener, const BackendScope& scope,
                                  ConfigProblems* problems) {
  std::vector<Backend> backends;
  std::set<std::string> names;
  std::vector<ConfigMap> maps = listener.Maps("backends");
  if (maps.size() > kMaxBackends) {
    listener.Problem("backends", fmt::format("more than {} backends", kMaxBackends));
    return backends;
  }
  for (ConfigMap& map : maps) {
    backends.push_back(BackendReader(map, scope, problems).Read(backends.size()));
    const std::string& name = backends.back().name;
    if (!name.empty() && !names.insert(name).second)
      map.Problem("name", fmt::format("a second backend is named '{}'", name), "names must differ");
  }
  return backends;
}

}  // namespace signet::mesh
