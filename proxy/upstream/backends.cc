#include "proxy/upstream/backends.h"

#include <algorithm>

namespace signet::proxy {
namespace {

// One worker's part of a limit that counts for all; 0 stays none.
std::size_t Share(std::size_t limit, std::size_t workers) {
  return limit == 0 ? 0 : std::max<std::size_t>(1, limit / workers);
}

}  // namespace

void BackendState::Follow(const BackendPlan& plan, const Lane& listener, std::size_t workers,
                          SteadyTime now) {
  config_ = plan.config;
  max_requests_ = Share(config_->circuit.max_requests, workers);
  max_pending_ = Share(config_->circuit.max_pending_requests, workers);
  std::vector<EndpointPtr> before = std::exchange(endpoints_, {});
  std::vector<std::pair<std::string, std::uint32_t>> members;
  for (const EndpointPlan& each : plan.endpoints) {
    const std::string address = each.plan->config.forward.ToString();
    const auto known = std::ranges::find_if(before, [&](const EndpointPtr& old) {
      return old->lane->plan->config.forward.ToString() == address;
    });
    EndpointPtr endpoint;
    if (known != before.end()) {
      endpoint = std::move(*known);
      before.erase(known);
    } else {
      endpoint = std::make_shared<EndpointState>(now);
      endpoint->lane = std::make_shared<Lane>();
      endpoint->lane->counters = listener.counters;
      endpoint->lane->cell = listener.cell;
    }
    endpoint->lane->plan = each.plan;
    endpoint->weight = each.weight;
    if (!config_->health_check) endpoint->checked = {};
    endpoints_.push_back(std::move(endpoint));
    members.emplace_back(address, each.weight);
  }
  for (const EndpointPtr& gone : before) gone->lane->removed = true;
  ring_ = config_->lb_policy == mesh::LbPolicy::kRingHash ? HashRing(members) : HashRing();
}

void BackendState::Remove() {
  for (const EndpointPtr& endpoint : std::exchange(endpoints_, {})) endpoint->lane->removed = true;
}

EndpointPtr BackendState::Pick(const PickFacts& facts, Dice& dice) {
  candidates_.clear();
  for (const EndpointPtr& endpoint : endpoints_)
    if (endpoint->checked.well() && endpoint->health.Eligible(facts.now))
      candidates_.push_back(endpoint);
  const auto threshold = static_cast<std::size_t>(config_->panic_threshold);
  if (candidates_.empty() || candidates_.size() * 100 < threshold * endpoints_.size())
    candidates_ = endpoints_;
  if (candidates_.size() > 1)
    std::erase_if(candidates_, [&](const auto& each) { return each.get() == facts.other_than; });
  if (candidates_.empty()) return nullptr;
  // Whoever is due to show that it is well again is asked now, or the others' better figures would
  // keep it out for long.
  for (const EndpointPtr& each : candidates_)
    if (each->health.state() == EndpointHealth::State::kEjected && each->health.Eligible(facts.now))
      return each;
  switch (config_->lb_policy) {
    case mesh::LbPolicy::kLeastRequest:
      return LeastOfTwo(facts, dice);
    case mesh::LbPolicy::kRoundRobin:
      return NextInTurn();
    case mesh::LbPolicy::kRingHash:
      return OnRing(facts.key ? *facts.key : dice.Throw());
  }
  return nullptr;
}

EndpointPtr BackendState::LeastOfTwo(const PickFacts& facts, Dice& dice) const {
  const std::size_t count = candidates_.size();
  if (count == 1) return candidates_.front();
  const std::size_t one = dice.Throw() % count;
  std::size_t other = dice.Throw() % (count - 1);
  if (other >= one) ++other;
  const auto cost = [&](std::size_t at) {
    return candidates_[at]->health.Cost(candidates_[at]->weight, facts.now);
  };
  return candidates_[cost(other) < cost(one) ? other : one];
}

EndpointPtr BackendState::NextInTurn() const {
  std::int64_t total = 0;
  EndpointPtr best;
  for (const EndpointPtr& endpoint : candidates_) {
    endpoint->turn += endpoint->weight;
    total += endpoint->weight;
    if (!best || endpoint->turn > best->turn) best = endpoint;
  }
  best->turn -= total;
  return best;
}

EndpointPtr BackendState::OnRing(std::uint64_t key) const {
  const std::size_t none = endpoints_.size();
  const std::size_t found = ring_.Find(key, none, [this](std::size_t at) {
    return std::ranges::find(candidates_, endpoints_[at]) != candidates_.end();
  });
  return found == none ? nullptr : endpoints_[found];
}

bool BackendState::Enter() {
  if (max_requests_ != 0 && requests_ >= max_requests_) return false;
  ++requests_;
  return true;
}

bool BackendState::Wait() {
  if (max_pending_ != 0 && pending_ >= max_pending_) return false;
  ++pending_;
  return true;
}

void LaneBackends::Follow(const ListenerPlan& plan, const Lane& listener, std::size_t workers,
                          SteadyTime now) {
  std::map<std::string, BackendPtr> before = std::exchange(backends_, {});
  for (const BackendPlan& each : plan.backends) {
    const auto known = before.find(each.config->name);
    BackendPtr backend =
        known != before.end() ? std::move(known->second) : std::make_shared<BackendState>();
    if (known != before.end()) before.erase(known);
    backend->Follow(each, listener, workers, now);
    backends_[each.config->name] = std::move(backend);
  }
  for (auto& [name, gone] : before) gone->Remove();
}

void LaneBackends::Remove() {
  for (auto& [name, backend] : backends_) backend->Remove();
  backends_.clear();
}

BackendPtr LaneBackends::Find(const std::string& name) const {
  const auto found = backends_.find(name);
  return found == backends_.end() ? nullptr : found->second;
}

}  // namespace signet::proxy
