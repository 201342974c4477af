// What a listener does with the requests it may pass on: how many it takes, its routes, and the
// backends they name, as one value that is swapped whole. Its only input is a map of configuration,
// wherever that came from; a file is one source.
//
// Threads: values; a RouteTable is immutable and shared.
#pragma once

#include <memory>
#include <vector>

#include "mesh/routes/backend.h"
#include "mesh/routes/rate_limit.h"
#include "mesh/routes/route_table.h"

namespace signet::mesh {

struct Traffic {
  // Null: everything goes to the listener's `forward`, and nothing is looked up.
  std::shared_ptr<const RouteTable> routes;
  std::vector<Backend> backends;
  RateLimits rate_limits;
  bool empty() const { return !routes && backends.empty() && !rate_limits.any(); }
};

struct TrafficScope {
  std::string_view listener;  // "outbound/web"
  std::string_view path;      // "outbound[0]"
  bool tls = false;           // its endpoints are called by mutual TLS
  bool forward = false;       // it has a `forward`, for rules that name no backend
};

// Reads `routes`, `backends` and `rate_limits` of a listener. Backends without routes: the one
// there is takes every request. Each fault is a problem, and then the value is not to be used.
Traffic ReadTraffic(ConfigMap& listener, const TrafficScope& scope, ConfigProblems* problems);

}  // namespace signet::mesh
