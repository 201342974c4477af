#include "mesh/routes/traffic.h"

#include <fmt/format.h>

#include "mesh/routes/route_reader.h"

namespace signet::mesh {
namespace {

HttpRoute RouteToAll(const Backend& backend, const ConfigMap& place) {
  RouteRule rule;
  rule.name = backend.name;
  rule.file = place.file();
  rule.line = place.Line("backends");
  rule.matches.emplace_back();
  rule.backends.push_back({backend.name, 1});
  rule.total_weight = 1;
  HttpRoute route;
  route.name = backend.name;
  route.rules.push_back(std::move(rule));
  return route;
}

}  // namespace

Traffic ReadTraffic(ConfigMap& listener, const TrafficScope& scope, ConfigProblems* problems) {
  Traffic traffic;
  traffic.rate_limits = ReadRateLimits(listener);
  traffic.backends = ReadBackends(listener, {scope.listener, scope.path, scope.tls}, problems);
  std::set<std::string> names;
  for (const Backend& backend : traffic.backends) names.insert(backend.name);
  std::vector<HttpRoute> routes =
      ReadRoutes(listener, {scope.path, &names, scope.forward}, problems);
  if (routes.empty() && !traffic.backends.empty()) {
    if (traffic.backends.size() > 1 || scope.forward)
      listener.Problem("backends",
                       fmt::format("{} has backends, and no routes that choose", scope.path),
                       "routes: …, or one backend alone and no forward");
    routes.push_back(RouteToAll(traffic.backends.front(), listener));
  }
  if (!routes.empty()) traffic.routes = std::make_shared<const RouteTable>(std::move(routes));
  return traffic;
}

}  // namespace signet::mesh
