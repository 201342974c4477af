// All the agent shows to processes on its node: the public socket and, when configured, the admin
// socket, with the threads that work for both.
//
// Threads: Open() and Stop() from one thread, in that order; the rest from any, in between.
#pragma once

#include "agent/endpoints/admin_socket.h"
#include "agent/endpoints/workload_server.h"

namespace signet::agent {

// What the sockets need of the rest of the agent; all of it outlives them.
struct EndpointWorld {
  Cache& cache;
  CallerAttestor attest;
  std::function<void(const std::vector<std::string>&)>
      want;            // SVIDs of these entries are waited for
  Interest& interest;  // learns who has an open stream
  JwtSource& jwts;
  std::function<AgentFigures()> figures;
  std::function<NodeStatus()> status;
  const Clock& clock;
  Random& random;
  const Logger& log;
  Metrics& metrics;
};

class Endpoints {
 public:
  Endpoints(EndpointWorld world, const EndpointOptions& options, const CallerLimits& limits);
  ~Endpoints();

  // The listening admin socket. Fails as net::ListenUnix().
  static Result<UniqueFd> ListenAdmin(const AdminSocketOptions& options);

  // `listener` is the public socket.
  Status Open(UniqueFd listener);
  // The cache changed: open streams are brought up to date.
  void Wake();
  // What gRPC health on the sockets answers.
  void SetServing(bool serving);
  // Ends every stream and call; nothing is accepted afterwards. Whatever a call may wait for must
  // have been stopped before.
  void Stop();

 private:
  const EndpointWorld world_;
  const EndpointOptions options_;
  const CallerLimits limits_;
  RefusalCounters refusals_;
  AttestationPool attestation_pool_;
  AttestationPool jwt_pool_;
  const Attestation attestation_;
  const EndpointParts parts_;
  std::unique_ptr<WorkloadServer> public_socket_;
  std::unique_ptr<AdminSocket> admin_socket_;
  bool stopped_ = false;
};

}  // namespace signet::agent
