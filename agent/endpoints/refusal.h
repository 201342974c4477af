// Why calls end without what they asked for. What a refused caller is told begins with one of these
// texts, and it is counted under its name.
#pragma once

#include <grpcpp/support/status.h>

#include <array>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kNoSecurityHeader{"security header missing from request"};
inline constexpr Reason kAttestationFailed{"workload attestation failed"};
inline constexpr Reason kNoIdentityIssued{"no identity issued"};
inline constexpr Reason kNotDelegate{"caller not configured as an authorized delegate"};
inline constexpr Reason kAgentNotReady{"the agent is not ready"};
inline constexpr Reason kNotIssuedYet{"the X.509-SVID has not been issued yet"};
inline constexpr Reason kNoToken{"could not fetch JWT-SVID"};
inline constexpr Reason kStreamsUsedUp{"too many streams of this user"};
inline constexpr Reason kCallersQueueFull{"too many callers at once"};
inline constexpr Reason kCallerEnded{"the process that connected is gone"};
inline constexpr Reason kAgentStops{"the agent stops"};

// The reasons that are counted apart, with the label each has in metrics; any other text is
// "other", so the label's values are these.
struct CountedReason {
  grpc::StatusCode code;
  Reason reason;
  std::string_view label;
};
inline constexpr std::array<CountedReason, 11> kCountedReasons = {{
    {grpc::INVALID_ARGUMENT, kNoSecurityHeader, "no_security_header"},
    {grpc::UNAVAILABLE, kAttestationFailed, "not_attested"},
    {grpc::PERMISSION_DENIED, kNoIdentityIssued, "no_identity"},
    {grpc::PERMISSION_DENIED, kNotDelegate, "not_a_delegate"},
    {grpc::UNAVAILABLE, kAgentNotReady, "agent_not_ready"},
    {grpc::UNAVAILABLE, kNotIssuedYet, "not_issued_yet"},
    {grpc::UNAVAILABLE, kNoToken, "no_token"},
    {grpc::UNAVAILABLE, kStreamsUsedUp, "too_many_streams"},
    {grpc::UNAVAILABLE, kCallersQueueFull, "too_many_callers"},
    {grpc::UNAVAILABLE, kCallerEnded, "caller_gone"},
    {grpc::UNAVAILABLE, kAgentStops, "agent_stops"},
}};

inline grpc::Status Refusal(grpc::StatusCode code, const Reason& reason,
                            const std::string& detail = {}) {
  const std::string text(reason.text);
  return {code, detail.empty() ? text : text + ": " + detail};
}

}  // namespace signet::agent
