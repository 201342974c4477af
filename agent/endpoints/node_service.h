// What the agent says of itself on its admin socket (signet/node/v1/node.proto).
//
// Threads: safe from any thread.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "agent/endpoints/call_table.h"
#include "agent/status/node_status.h"

namespace signet::agent {

class NodeService {
 public:
  struct Callers {
    std::vector<ConnectedCaller> of_public, of_admin;  // by socket
  };
  NodeService(std::function<NodeStatus()> status, std::function<Callers()> callers)
      : status_(std::move(status)), callers_(std::move(callers)) {}
  // Answers are made on `pool`.
  void Register(CallTable* calls, AttestationPool& pool);

 private:
  const std::function<NodeStatus()> status_;
  const std::function<Callers()> callers_;
};

}  // namespace signet::agent
