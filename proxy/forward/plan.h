// What the workers act on: the configured listeners with their targets resolved, and the limits. A
// reload makes a new plan; a worker swaps it whole.
//
// Threads: immutable, shared.
#pragma once

#include <memory>
#include <vector>

#include "net/address.h"
#include "proxy/config.h"
#include "proxy/route/rate_limiter.h"
#include "proxy/upstream/backend_plan.h"

namespace signet::proxy {

struct ListenerPlan {
  ListenerConfig config;
  std::vector<net::SocketAddress> targets;  // of `forward`; empty: it does not resolve now
  std::vector<BackendPlan> backends;
  // Of TLS that is passed on: where each of `server_names` leads, in their order.
  std::vector<std::shared_ptr<const ListenerPlan>> by_name;
  // How its targets lead back to it, for people; then nothing is forwarded. Else empty.
  std::string loop;
  std::shared_ptr<RateLimiter> limiter;  // null: no limits; stays while they do
};

struct Plan {
  std::vector<std::shared_ptr<const ListenerPlan>> listeners;
  LimitsConfig limits;
};

}  // namespace signet::proxy
