// The agent's public Unix socket: the SPIFFE Workload API, Envoy's secret discovery, gRPC health
// and reflection.
//
// Threads: one that updates streams, and those of SocketServer.
#pragma once

#include <memory>

#include "agent/cache/cache.h"
#include "agent/cache/interest.h"
#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/endpoint_options.h"
#include "agent/jwt/jwt_source.h"
#include "base/file.h"
#include "base/random.h"

namespace signet::agent {

// What the sockets need of the rest of the agent; all of it outlives them.
struct EndpointParts {
  Cache& cache;
  std::function<void(const std::vector<std::string>&)>
      want;            // SVIDs of these entries are waited for
  Interest& interest;  // learns who has an open stream
  const Attestation& attestation;
  JwtSource& jwts;
  AttestationPool& jwt_pool;  // threads that may wait for the server
  RefusalCounters& refusals;
  Random& random;
};

class WorkloadServer {
 public:
  // `listener` is a non-blocking listening Unix socket.
  static Result<std::unique_ptr<WorkloadServer>> Start(UniqueFd listener,
                                                       const EndpointParts& parts,
                                                       const EndpointOptions& options,
                                                       const CallerLimits& limits);
  ~WorkloadServer();

  // The cache changed: open streams are brought up to date.
  void Wake();
  // What gRPC health on the socket answers.
  void SetServing(bool serving);
  std::vector<ConnectedCaller> Connected() const;
  // Ends every stream; nothing is accepted afterwards.
  void Stop();

 private:
  struct State;
  explicit WorkloadServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::agent
