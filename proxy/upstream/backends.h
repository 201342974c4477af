// The backends of one listener as one worker sees them: their endpoints, and which one a request
// goes to. Across reloads an endpoint stays the same one while its backend's name and its address
// do, so its connections live on.
//
// Threads: one worker's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/forward/connection.h"

namespace signet::proxy {

struct EndpointState {
  // What connections to it follow: of the same listener, with a target and expectations of its own.
  std::shared_ptr<Lane> lane;
  std::uint32_t weight = 1;
  std::int64_t turn = 0;  // of smooth round robin
};
using EndpointPtr = std::shared_ptr<EndpointState>;

class BackendState {
 public:
  // Takes what `plan` says; endpoints it no longer has are removed.
  void Follow(const BackendPlan& plan, const Lane& listener);
  void Remove();
  // Whose turn it is: each as often as its weight says, evenly spread. Null: there is none.
  EndpointPtr Pick();
  const std::vector<EndpointPtr>& endpoints() const { return endpoints_; }

 private:
  std::vector<EndpointPtr> endpoints_;
};

class LaneBackends {
 public:
  void Follow(const ListenerPlan& plan, const Lane& listener);
  // The listener is gone.
  void Remove();
  BackendState* Find(const std::string& name);
  // Calls `each` with every endpoint's lane.
  template <class Each>
  void ForEachLane(Each each) {
    for (auto& [name, backend] : backends_)
      for (const EndpointPtr& endpoint : backend.endpoints()) each(*endpoint->lane);
  }

 private:
  std::map<std::string, BackendState> backends_;
};

}  // namespace signet::proxy
