// The backends of one listener as one worker sees them: their endpoints, how each does, and which
// one a request goes to. Across reloads an endpoint stays the same one while its backend's name and
// its address do, so its connections live on and what is known of it stays known.
//
// Threads: one worker's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/forward/connection.h"
#include "proxy/route/dice.h"
#include "proxy/upstream/endpoint_health.h"
#include "proxy/upstream/hash_ring.h"
#include "proxy/upstream/retry_budget.h"

namespace signet::proxy {

struct EndpointState {
  explicit EndpointState(SteadyTime now) : health(now) {}
  // What connections to it follow: of the same listener, with a target and expectations of its own.
  std::shared_ptr<Lane> lane;
  std::uint32_t weight = 1;
  std::int64_t turn = 0;  // of smooth round robin
  EndpointHealth health;
  CheckedHealth checked;
};
using EndpointPtr = std::shared_ptr<EndpointState>;

// What a request brings to the choice.
struct PickFacts {
  SteadyTime now;
  std::optional<std::uint64_t> key;           // of ring hash; absent: any
  const EndpointState* other_than = nullptr;  // where it failed just now; taken if it is alone
};

class BackendState {
 public:
  // Takes what `plan` says; endpoints it no longer has are removed. `workers`: among so many its
  // limits are shared.
  void Follow(const BackendPlan& plan, const Lane& listener, std::size_t workers, SteadyTime now);
  void Remove();
  // Null: there is none.
  EndpointPtr Pick(const PickFacts& facts, Dice& dice);
  const std::vector<EndpointPtr>& endpoints() const { return endpoints_; }
  const mesh::Backend& config() const { return *config_; }
  RetryBudget& retries() { return retries_; }

  // The limits of circuit_breakers. False: reached. Leave() and Served() follow once each.
  bool Enter();
  void Leave() { --requests_; }
  bool Wait();
  void Served() { --pending_; }

 private:
  EndpointPtr LeastOfTwo(const PickFacts& facts, Dice& dice) const;
  EndpointPtr NextInTurn() const;
  EndpointPtr OnRing(std::uint64_t key) const;

  std::shared_ptr<const mesh::Backend> config_;
  std::vector<EndpointPtr> endpoints_;
  std::vector<EndpointPtr> candidates_;  // of the choice being made
  HashRing ring_;                        // over endpoints_
  RetryBudget retries_;
  std::size_t max_requests_ = 0, max_pending_ = 0;  // 0: no limit
  std::size_t requests_ = 0, pending_ = 0;
};
using BackendPtr = std::shared_ptr<BackendState>;

class LaneBackends {
 public:
  void Follow(const ListenerPlan& plan, const Lane& listener, std::size_t workers, SteadyTime now);
  // The listener is gone.
  void Remove();
  // Null: there is none of that name.
  BackendPtr Find(const std::string& name) const;
  template <class Each>
  void ForEachBackend(Each each) const {
    for (const auto& [name, backend] : backends_) each(*backend);
  }
  // Calls `each` with every endpoint's lane.
  template <class Each>
  void ForEachLane(Each each) {
    for (auto& [name, backend] : backends_)
      for (const EndpointPtr& endpoint : backend->endpoints()) each(*endpoint->lane);
  }

 private:
  std::map<std::string, BackendPtr> backends_;
};

}  // namespace signet::proxy
