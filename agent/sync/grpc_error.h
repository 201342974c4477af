// A gRPC status as an Error: the code as it is, and the reason from SPIRE's
// PermissionDeniedDetails.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <optional>

#include "base/clock.h"
#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kServerAnswered{"server answered with an error"};

// `status` is not OK.
Error FromGrpc(const grpc::Status& status);

// How long the server asks to be left alone, from grpc-retry-pushback-ms in the trailers of an
// ended call (gRFC A6); at most kLongestRetryHint. Absent: it does not say.
inline constexpr std::chrono::minutes kLongestRetryHint{5};
std::optional<Duration> RetryHint(const grpc::ClientContext& context);

}  // namespace signet::agent
