// spire.api.server.debug.v1.Debug: what the server is and holds, for people who look for a fault.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "identity/server/server_identity.h"

namespace signet::identity {

class DebugService {
 public:
  DebugService(const Registry& registry, const ServerIdentity& identity, const Clock& clock)
      : registry_(registry), identity_(identity), clock_(clock), started_at_(clock.SteadyNow()) {}
  void Register(Router* router);

 private:
  const Registry& registry_;
  const ServerIdentity& identity_;
  const Clock& clock_;
  const SteadyTime started_at_;
};

}  // namespace signet::identity
