#include "identity/api/rpc_status.h"

#include "google/rpc/status.pb.h"
#include "identity/api/reattest.h"
#include "spire/api/types/permission_denied_details.pb.h"

namespace signet::identity {
namespace {

using spire::api::types::PermissionDeniedDetails;

grpc::Status Denied(const std::string& text, PermissionDeniedDetails::Reason reason) {
  PermissionDeniedDetails details;
  details.set_reason(reason);
  google::rpc::Status status;
  status.set_code(static_cast<int>(Code::kPermissionDenied));
  status.set_message(text);
  status.add_details()->PackFrom(details);
  return {grpc::StatusCode::PERMISSION_DENIED, text, status.SerializeAsString()};
}

}  // namespace

grpc::Status ToGrpcStatus(const Error& error) {
  if (error.reason == kReattestInstead)
    return Denied(error.Message(), PermissionDeniedDetails::AGENT_MUST_REATTEST);
  return {static_cast<grpc::StatusCode>(error.code), error.Message()};
}

grpc::Status DeniedStatus(std::string_view message, AgentDenial denial) {
  const std::string text(message);
  if (denial == AgentDenial::kNone) return {grpc::StatusCode::PERMISSION_DENIED, text};
  return Denied(text, static_cast<PermissionDeniedDetails::Reason>(static_cast<int>(denial)));
}

spire::api::types::Status ToProtoStatus(const Status& status) {
  spire::api::types::Status proto;
  if (status) {
    proto.set_message("OK");
  } else {
    proto.set_code(static_cast<int>(status.error().code));
    proto.set_message(status.error().Message());
  }
  return proto;
}

Error InContext(std::string_view context, Code code, const Error& error) {
  return {code, error.reason,
          error.detail.empty() ? std::string(context) : std::string(context) + ": " + error.detail};
}

}  // namespace signet::identity
