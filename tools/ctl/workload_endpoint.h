// Where a workload finds its agent: the address in SPIFFE_ENDPOINT_SOCKET (SPIFFE Workload
// Endpoint, 4), read strictly.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace signet::ctl {

inline constexpr Reason kEndpointMalformed{"malformed Workload API address"};

// "unix:///path" (or "unix:/path") to "unix:/path", "tcp://127.0.0.1:8000" to "127.0.0.1:8000":
// what gRPC dials. No authority, user, query or fragment in the first form; a number for a host,
// a port and no more in the second. Fails with kEndpointMalformed, saying which rule.
Result<std::string> ParseWorkloadEndpoint(std::string_view address);

}  // namespace signet::ctl
