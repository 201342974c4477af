// A gRPC status as an Error: the code as it is, and the reason from SPIRE's
// PermissionDeniedDetails.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kServerAnswered{"server answered with an error"};

// `status` is not OK.
Error FromGrpc(const grpc::Status& status);

}  // namespace signet::agent
