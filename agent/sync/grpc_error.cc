#include "agent/sync/grpc_error.h"

#include <algorithm>
#include <charconv>

#include "agent/attest/denial.h"
#include "agent/cache/minter.h"
#include "base/log.h"
#include "google/rpc/status.pb.h"
#include "spire/api/types/permission_denied_details.pb.h"

namespace signet::agent {
namespace {

using Details = spire::api::types::PermissionDeniedDetails;

Reason ReasonOf(Details::Reason reason) {
  switch (reason) {
    case Details::AGENT_EXPIRED:
      return kAgentExpired;
    case Details::AGENT_NOT_ATTESTED:
      return kAgentNotAttested;
    case Details::AGENT_NOT_ACTIVE:
      return kAgentNotActive;
    case Details::AGENT_BANNED:
      return kAgentBanned;
    case Details::AGENT_MUST_REATTEST:
      return kAgentMustReattest;
    default:
      return kServerAnswered;
  }
}

Reason PermissionReason(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return kServerAnswered;
  for (const auto& any : details.details()) {
    Details permission;
    if (any.UnpackTo(&permission)) return ReasonOf(permission.reason());
  }
  return kServerAnswered;
}

}  // namespace

Error FromGrpc(const grpc::Status& status) {
  const auto code = static_cast<Code>(status.error_code());
  Reason reason = kServerAnswered;
  if (code == Code::kPermissionDenied) reason = PermissionReason(status);
  if (code == Code::kUnavailable) reason = kServerAway;
  return Error{code, reason, EscapeForLog(status.error_message(), 512)};
}

std::optional<Duration> RetryHint(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("grpc-retry-pushback-ms");
  if (found == trailers.end()) return std::nullopt;
  const char* const end = found->second.data() + found->second.size();
  std::int64_t milliseconds = 0;
  const auto [stop, error] = std::from_chars(found->second.data(), end, milliseconds);
  if (error != std::errc() || stop != end || milliseconds < 0) return std::nullopt;
  const auto longest = std::chrono::milliseconds(kLongestRetryHint);
  return std::min(std::chrono::milliseconds(milliseconds), longest);
}

}  // namespace signet::agent
