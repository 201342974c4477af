#include "proxy/upstream/backend_plan.h"

#include <fmt/format.h>

#include "proxy/forward/plan.h"

namespace signet::proxy {

std::vector<BackendPlan> PlanBackends(const ListenerConfig& listener, const Resolver& resolve) {
  std::vector<BackendPlan> backends;
  for (const mesh::Backend& backend : listener.traffic.backends) {
    BackendPlan& made = backends.emplace_back();
    made.name = backend.name;
    for (const mesh::Endpoint& endpoint : backend.endpoints) {
      const auto address = net::Address::Parse(endpoint.address);
      if (!address) continue;  // the configuration was refused with it
      auto plan = std::make_shared<ListenerPlan>();
      plan->config = listener;
      plan->config.traffic = {};
      plan->config.forward = *address;
      plan->config.policy = endpoint.expect;
      plan->config.policy_place = fmt::format("{}:{}", endpoint.file, endpoint.line);
      plan->targets = resolve(*address);
      made.endpoints.push_back({std::move(plan), endpoint.weight});
    }
  }
  return backends;
}

void ForEachTarget(const std::shared_ptr<const ListenerPlan>& listener,
                   const std::function<void(const ListenerPlan&)>& each) {
  if (listener->config.has_forward()) each(*listener);
  for (const BackendPlan& backend : listener->backends)
    for (const EndpointPlan& endpoint : backend.endpoints) each(*endpoint.plan);
}

}  // namespace signet::proxy
