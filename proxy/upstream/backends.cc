#include "proxy/upstream/backends.h"

#include <algorithm>

namespace signet::proxy {

void BackendState::Follow(const BackendPlan& plan, const Lane& listener) {
  std::vector<EndpointPtr> before = std::exchange(endpoints_, {});
  for (const EndpointPlan& each : plan.endpoints) {
    const auto is_it = [&](const EndpointPtr& old) {
      return old->lane->plan->config.forward.ToString() == each.plan->config.forward.ToString();
    };
    const auto known = std::ranges::find_if(before, is_it);
    EndpointPtr endpoint;
    if (known != before.end()) {
      endpoint = std::move(*known);
      before.erase(known);
    } else {
      endpoint = std::make_shared<EndpointState>();
      endpoint->lane = std::make_shared<Lane>();
      endpoint->lane->counters = listener.counters;
      endpoint->lane->cell = listener.cell;
    }
    endpoint->lane->plan = each.plan;
    endpoint->weight = each.weight;
    endpoints_.push_back(std::move(endpoint));
  }
  for (const EndpointPtr& gone : before) gone->lane->removed = true;
}

void BackendState::Remove() {
  for (const EndpointPtr& endpoint : std::exchange(endpoints_, {})) endpoint->lane->removed = true;
}

EndpointPtr BackendState::Pick() {
  std::int64_t total = 0;
  const EndpointPtr* best = nullptr;
  for (const EndpointPtr& endpoint : endpoints_) {
    endpoint->turn += endpoint->weight;
    total += endpoint->weight;
    if (best == nullptr || endpoint->turn > (*best)->turn) best = &endpoint;
  }
  if (best == nullptr) return nullptr;
  (*best)->turn -= total;
  return *best;
}

void LaneBackends::Follow(const ListenerPlan& plan, const Lane& listener) {
  std::map<std::string, BackendState> before = std::exchange(backends_, {});
  for (const BackendPlan& each : plan.backends) {
    BackendState& backend = backends_[each.name];
    if (const auto known = before.find(each.name); known != before.end()) {
      backend = std::move(known->second);
      before.erase(known);
    }
    backend.Follow(each, listener);
  }
  for (auto& [name, gone] : before) gone.Remove();
}

void LaneBackends::Remove() {
  for (auto& [name, backend] : backends_) backend.Remove();
  backends_.clear();
}

BackendState* LaneBackends::Find(const std::string& name) {
  const auto found = backends_.find(name);
  return found == backends_.end() ? nullptr : &found->second;
}

}  // namespace signet::proxy
