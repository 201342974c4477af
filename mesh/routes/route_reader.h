// Routes from YAML, all problems with file and line. `routes` of a listener is a list of HTTPRoutes
// without their Kubernetes envelope:
//
//   routes:
//     - name: orders
//       hostnames: [orders.example.org, "*.orders.example.org"]
//       rules:
//         - matches:
//             - path: {type: PathPrefix, value: /v2}
//               method: GET
//               headers: [{name: x-beta, value: "1"}]
//           filters:
//             - type: RequestHeaderModifier
//               requestHeaderModifier: {set: [{name: x-stage, value: canary}]}
//           backendRefs: [{name: stable, weight: 90}, {name: canary, weight: 10}]
//           timeouts: {request: 10s, backendRequest: 2s}
//
// docs/traffic.md has every key. Regular expressions are not read: a path is exact, a prefix or a
// template, a header exact, a prefix or present.
//
// Threads: pure functions.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "mesh/routes/route.h"

namespace signet::mesh {

inline constexpr std::size_t kMaxRouteMatches = 16384;  // of one listener

struct RouteScope {
  std::string_view path;                  // "inbound[0]": how messages name the place
  const std::set<std::string>* backends;  // that may be named; never null
  bool forward = false;                   // a rule may name none: the listener's `forward`
};

// Reads `routes` of a listener; each fault is a problem, and then they are not to be used.
std::vector<HttpRoute> ReadRoutes(ConfigMap& listener, const RouteScope& scope,
                                  ConfigProblems* problems);

// Whether a route may edit the field: not one that frames the message, concerns one connection, or
// names the caller. `name` is in lower case.
bool MayEditField(std::string_view name);

}  // namespace signet::mesh
