// One Unix socket with gRPC services on it: accepts, notes who connects, hands the connection to
// gRPC. Which services, and what they answer, is the caller's business.
//
// Threads: one that accepts, and gRPC's.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "agent/endpoints/caller_table.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

class SocketServer {
 public:
  SocketServer(const CallerLimits& limits, const Clock& clock, const Logger& log, Metrics& metrics);
  ~SocketServer();

  CallerTable& callers();

  // `listener` is a non-blocking listening Unix socket; the services outlive this. Call once.
  Status Serve(UniqueFd listener, const std::vector<grpc::Service*>& services);
  // Accepts no more.
  void StopAccepting();
  // After StopAccepting(): ends what is open, by force after a grace.
  void Stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace signet::agent
