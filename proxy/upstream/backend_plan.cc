#include "proxy/upstream/backend_plan.h"

#include <fmt/format.h>

#include "proxy/forward/plan.h"

namespace signet::proxy {

namespace {

std::shared_ptr<const ListenerPlan> PlanEndpoint(const ListenerConfig& listener,
                                                 const net::Address& address,
                                                 const Resolver& resolve) {
  auto plan = std::make_shared<ListenerPlan>();
  plan->config = listener;
  plan->config.traffic = {};
  plan->config.server_names = {};
  plan->config.forward = address;
  plan->targets = resolve(address);
  return plan;
}

}  // namespace

std::vector<BackendPlan> PlanBackends(const ListenerConfig& listener, const Resolver& resolve) {
  std::vector<BackendPlan> backends;
  if (!listener.traffic.routes) return backends;
  if (listener.has_forward())
    backends.push_back({std::make_shared<const mesh::Backend>(),
                        {{PlanEndpoint(listener, listener.forward, resolve), 1}}});
  for (const mesh::Backend& backend : listener.traffic.backends) {
    BackendPlan& made = backends.emplace_back();
    made.config = std::make_shared<const mesh::Backend>(backend);
    for (const mesh::Endpoint& endpoint : backend.endpoints) {
      const auto address = net::Address::Parse(endpoint.address);
      if (!address) continue;  // the configuration was refused with it
      ListenerConfig config = listener;
      config.policy = endpoint.expect;
      config.policy_place = fmt::format("{}:{}", endpoint.file, endpoint.line);
      made.endpoints.push_back({PlanEndpoint(config, *address, resolve), endpoint.weight});
    }
  }
  return backends;
}

std::vector<std::shared_ptr<const ListenerPlan>> PlanServerNames(const ListenerConfig& listener,
                                                                 const Resolver& resolve) {
  std::vector<std::shared_ptr<const ListenerPlan>> plans;
  for (const ServerNameRule& rule : listener.server_names)
    plans.push_back(PlanEndpoint(listener, rule.forward, resolve));
  return plans;
}

void ForEachTarget(const std::shared_ptr<const ListenerPlan>& listener,
                   const std::function<void(const ListenerPlan&)>& each) {
  // With routes it is one of the backends.
  if (listener->config.has_forward() && !listener->config.traffic.routes &&
      listener->by_name.empty())
    each(*listener);
  for (const BackendPlan& backend : listener->backends)
    for (const EndpointPlan& endpoint : backend.endpoints) each(*endpoint.plan);
  for (const auto& plan : listener->by_name) each(*plan);
}

}  // namespace signet::proxy
