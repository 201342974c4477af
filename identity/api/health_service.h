// grpc.health.v1.Health on the admin socket: the server as a whole, as SPIRE's answers it. Watch
// and List are not implemented there either.
//
// Threads: immutable after Register().
#pragma once

#include <functional>

#include "identity/api/router.h"
#include "net/admin_server.h"

namespace signet::identity {

class HealthService {
 public:
  explicit HealthService(std::function<net::Health()> health) : health_(std::move(health)) {}
  void Register(Router* router);

 private:
  const std::function<net::Health()> health_;
};

}  // namespace signet::identity
