#include "proxy/route/traffic_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace signet::proxy {
namespace {

void CheckAddresses(const mesh::Traffic& traffic, ConfigProblems* problems) {
  constexpr const char* kHint = "host:port, such as 10.0.0.7:8443";
  for (const mesh::Backend& backend : traffic.backends)
    for (const mesh::Endpoint& endpoint : backend.endpoints) {
      if (endpoint.address.empty()) continue;  // told already
      const auto address = net::Address::Parse(endpoint.address);
      if (!address)
        problems->Add({endpoint.file, endpoint.line, address.error().Message(), kHint});
      else if (!address->is_unix && address->port == 0)
        problems->Add({endpoint.file, endpoint.line,
                       fmt::format("'{}' has no port to connect to", endpoint.address), kHint});
    }
}

}  // namespace

void ReadListenerTraffic(ConfigMap& map, const std::string& path, ListenerConfig* listener,
                         ConfigProblems* problems) {
  constexpr const char* kKeys[] = {"routes", "backends", "rate_limits"};
  const auto* const first = std::ranges::find_if(kKeys, [&](auto each) { return map.Has(each); });
  if (first == std::end(kKeys)) return;
  const char* key = *first;
  if (!IsHttp(listener->protocol)) {
    for (const char* each : kKeys) (void)map.Ignore(each);
    return map.Problem(key, fmt::format("'{}' is about HTTP, and the listener carries TCP", key),
                       "protocol: http, or forward alone");
  }
  if (!listener->traffic.empty())
    return map.Problem(
        key,
        fmt::format("traffic settings of '{}' stand beside the listener and here", listener->name),
        "keep one place");
  const std::string name = fmt::format("{}/{}", DirectionName(listener->direction), listener->name);
  listener->traffic = mesh::ReadTraffic(
      map, {name, path, listener->direction == Direction::kOutbound, listener->has_forward()},
      problems);
  CheckAddresses(listener->traffic, problems);
  if (listener->connect && listener->traffic.routes)
    map.Problem("routes", "CONNECT names no path for a route to go by",
                "connect: true on a listener of its own, with forward");
}

}  // namespace signet::proxy
