#include "agent/endpoints/health_service.h"

#include "grpc/health/v1/health.pb.h"

namespace signet::agent {

void HealthService::Register(CallTable* calls) {
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;
  const std::string service = std::string("/") + kHealth + "/";
  calls->AddUnary<Request, Response>(
      service + "Check", nullptr, [this](const Request& request, Response* response) {
        if (!request.service().empty())
          return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                              "per-service health is not supported");
        response->set_status(serving_ ? Response::SERVING : Response::NOT_SERVING);
        return grpc::Status::OK;
      });
  for (const std::string method : {"Watch", "List"})
    calls->AddUnimplemented(service + method, "method " + method + " not implemented");
}

}  // namespace signet::agent
