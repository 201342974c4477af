// The agent's public Unix socket: accepts, notes who connects, hands the connection to gRPC. Serves
// the SPIFFE Workload API and gRPC health.
//
// Threads: one that accepts, one that updates streams, two that attest, and gRPC's.
#pragma once

#include <functional>
#include <memory>

#include "agent/cache/cache.h"
#include "agent/cache/interest.h"
#include "agent/endpoints/caller_table.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

// What the server needs of the rest of the agent.
struct WorkloadServerParts {
  Cache& cache;
  std::function<Result<identity::SelectorSet>(const net::PeerCredentials&)> attest;
  std::function<void(const std::vector<std::string>&)>
      want;            // SVIDs of these entries are waited for
  Interest& interest;  // learns who has an open stream
  const Clock& clock;
  const Logger& log;
  Metrics& metrics;
};

class WorkloadServer {
 public:
  // `listener` is a non-blocking listening Unix socket.
  static Result<std::unique_ptr<WorkloadServer>> Start(UniqueFd listener, WorkloadServerParts parts,
                                                       const CallerLimits& limits);
  ~WorkloadServer();

  // The cache changed: open streams are brought up to date.
  void Wake();
  // What gRPC health on the socket answers.
  void SetServing(bool serving);
  // Ends every stream; nothing is accepted afterwards.
  void Stop();

 private:
  struct State;
  explicit WorkloadServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::agent
