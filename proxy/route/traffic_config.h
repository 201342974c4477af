// Routes, backends and rate limits of a listener in the proxy's configuration: read by mesh/, and
// checked here for what only the proxy knows, which is addresses and protocols.
//
// Threads: pure functions.
#pragma once

#include "base/config.h"
#include "proxy/config.h"

namespace signet::proxy {

// Reads `routes`, `backends` and `rate_limits` of `map` into listener->traffic, if it has them:
// `map` is the listener's own or its entry in a file of rules; they stand in one place. `path`:
// "inbound[0]".
void ReadListenerTraffic(ConfigMap& map, const std::string& path, ListenerConfig* listener,
                         ConfigProblems* problems);

}  // namespace signet::proxy
