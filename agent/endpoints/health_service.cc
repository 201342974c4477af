#include "agent/endpoints/health_service.h"

namespace signet::agent {

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const grpc::health::v1::HealthCheckRequest* request,
                                               grpc::health::v1::HealthCheckResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (!request->service().empty()) {
    reactor->Finish({grpc::StatusCode::INVALID_ARGUMENT, "per-service health is not supported"});
    return reactor;
  }
  response->set_status(serving_ ? grpc::health::v1::HealthCheckResponse::SERVING
                                : grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace signet::agent
