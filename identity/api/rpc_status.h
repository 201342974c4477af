// Our errors as gRPC statuses, and back into the status messages of batches.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"
#include "identity/api/authorization.h"
#include "spire/api/types/status.pb.h"

namespace signet::identity {

grpc::Status ToGrpcStatus(const Error& error);
// With spire.api.types.PermissionDeniedDetails when `denial` says why: SPIRE agents act on it (one
// that is banned erases its keys, one that is not attested attests again).
grpc::Status DeniedStatus(std::string_view message, AgentDenial denial);

// Code 0 and "OK", or the error's.
spire::api::types::Status ToProtoStatus(const Status& status);

// What failed, why, and answered with which code: "failed to …: reason: detail", keeping the
// reason.
Error InContext(std::string_view context, Code code, const Error& error);

}  // namespace signet::identity
