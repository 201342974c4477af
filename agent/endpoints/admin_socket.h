// The agent's admin Unix socket, there only when it is configured: delegated identity, debug,
// logger, status, gRPC health. Whoever the file's permissions let in may use debug, logger and
// status; delegated identity asks for more (delegated_service.h).
//
// Threads: one that updates streams, and those of SocketServer.
#pragma once

#include "agent/endpoints/debug_service.h"
#include "agent/endpoints/workload_server.h"
#include "agent/status/node_status.h"

namespace signet::agent {

// What its services tell of.
struct AdminFacts {
  std::function<AgentFigures()> figures;
  std::function<NodeStatus()> status;
  std::function<std::vector<ConnectedCaller>()> public_callers;
};

class AdminSocket {
 public:
  // `listener` is a non-blocking listening Unix socket.
  static Result<std::unique_ptr<AdminSocket>> Start(UniqueFd listener, const EndpointParts& parts,
                                                    const EndpointOptions& options,
                                                    const CallerLimits& limits, AdminFacts facts);
  ~AdminSocket();

  void Wake();
  void SetServing(bool serving);
  void Stop();

 private:
  struct State;
  explicit AdminSocket(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::agent
