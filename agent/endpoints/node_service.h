// What the agent says of itself on its admin socket (signet/node/v1/node.proto).
//
// Threads: gRPC's.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "agent/status/node_status.h"
#include "signet/node/v1/node.grpc.pb.h"

namespace signet::agent {

class NodeService final : public signet::node::v1::Node::CallbackService {
 public:
  struct Callers {
    std::vector<ConnectedCaller> of_public, of_admin;  // by socket
  };
  NodeService(std::function<NodeStatus()> status, std::function<Callers()> callers)
      : status_(std::move(status)), callers_(std::move(callers)) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const signet::node::v1::GetStatusRequest* request,
                                      signet::node::v1::GetStatusResponse* response) override;

 private:
  const std::function<NodeStatus()> status_;
  const std::function<Callers()> callers_;
};

}  // namespace signet::agent
