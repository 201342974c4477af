// Listeners of one process that carry bytes and forward to each other in a ring: a connection to
// one of them would open the next, and so on until a limit is reached. HTTP listeners are no part
// of it: they tell requests that come back (proxy/http/hops.h), and routes may lead through them
// and out again. Rings over several processes cannot be seen in bytes; limits.per_peer bounds them.
//
// Threads: pure but for `is_own`.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "proxy/forward/plan.h"

namespace signet::proxy {

// One listener as it is found.
struct LoopNode {
  std::string name;  // "outbound/db"
  net::SocketAddress listens;
  std::vector<net::SocketAddress> targets;
};

// Whether an interface of this host has the address; of its port it says nothing.
using IsOwnAddress = std::function<bool(const net::SocketAddress&)>;
// Asks the kernel.
bool IsOwnAddressOfHost(const net::SocketAddress& address);

// Whether a connection to `target` comes to who listens on `listens`.
bool Reaches(const net::SocketAddress& target, const net::SocketAddress& listens,
             const IsOwnAddress& is_own);

// For each node in a ring, by its index, how the ring goes: "outbound/a -> outbound/b ->
// outbound/a". At most 256 nodes come from a configuration.
std::map<std::size_t, std::string> FindForwardLoops(const std::vector<LoopNode>& nodes,
                                                    const IsOwnAddress& is_own);

}  // namespace signet::proxy
