// One question to the Workload API and its first answer, for who needs an identity now and then and
// watches nothing.
//
// Threads: blocking.
#pragma once

#include <grpcpp/client_context.h>

#include <string>

#include "identity/workload/workload_response.h"

namespace signet::identity {

inline constexpr Reason kWorkloadApiFailed{"the agent gives no identity"};

// `context` brings the deadline and may be cancelled from elsewhere. Fails with kWorkloadApiFailed,
// naming the socket, or as ReadX509SvidResponse().
Result<WorkloadIdentity> FetchWorkloadIdentity(const std::string& socket_path,
                                               grpc::ClientContext& context, const Clock& clock);

}  // namespace signet::identity
