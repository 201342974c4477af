#include "identity/api/health_service.h"

#include "grpc/health/v1/health.pb.h"
#include "identity/api/convert.h"

namespace signet::identity {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

void HealthService::Register(Router* router) {
  router->AddInline(
      "/grpc.health.v1.Health/Check",
      Unary<HealthCheckRequest, HealthCheckResponse>(
          [this](const Caller&, const HealthCheckRequest& request) -> Result<HealthCheckResponse> {
            if (!request.service().empty()) {
              return Fail(Code::kInvalidArgument, kFieldInvalid,
                          "per-service health is not supported");
            }
            HealthCheckResponse response;
            response.set_status(health_().ready ? HealthCheckResponse::SERVING
                                                : HealthCheckResponse::NOT_SERVING);
            return response;
          }));
}

}  // namespace signet::identity
