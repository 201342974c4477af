// The backends of a listener, resolved; with routes its `forward` is one too, without a name: each
// endpoint is the listener once more with another target, other expectations of the peer, and no
// routes.
//
// Threads: immutable, shared.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"
#include "proxy/config.h"

namespace signet::proxy {

struct ListenerPlan;

struct EndpointPlan {
  std::shared_ptr<const ListenerPlan> plan;
  std::uint32_t weight = 1;
};

struct BackendPlan {
  std::shared_ptr<const mesh::Backend> config;  // never null
  std::vector<EndpointPlan> endpoints;
};

// `resolve`: the addresses of one; empty: it does not resolve now.
using Resolver = std::function<std::vector<net::SocketAddress>(const net::Address&)>;
std::vector<BackendPlan> PlanBackends(const ListenerConfig& listener, const Resolver& resolve);

// Where each of the listener's `server_names` leads.
std::vector<std::shared_ptr<const ListenerPlan>> PlanServerNames(const ListenerConfig& listener,
                                                                 const Resolver& resolve);

// Calls `each` for the listener's own plan, if it has a `forward`, and for those of its endpoints
// and server names.
void ForEachTarget(const std::shared_ptr<const ListenerPlan>& listener,
                   const std::function<void(const ListenerPlan&)>& each);

}  // namespace signet::proxy
