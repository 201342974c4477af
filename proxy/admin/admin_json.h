// The answers of the admin socket, as JSON.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proxy/config.h"
#include "proxy/identity/identity_snapshot.h"
#include "proxy/telemetry/live.h"

namespace signet::proxy {

std::string ProblemJson(std::string_view problem);
std::string ConnectionsJson(const std::vector<LiveConnection>& connections);

// What is in force: listeners with their rules' number and place, limits, where telemetry goes, and
// whose SVID is shown. No key. `identity` may be null.
std::string ConfigJson(const ProxyConfig& config, const IdentitySnapshot* identity);

}  // namespace signet::proxy
