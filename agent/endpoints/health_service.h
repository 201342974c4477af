// gRPC health as SPIRE's agent has it: the process as a whole, by Check alone.
//
// Threads: gRPC's.
#pragma once

#include <atomic>

#include "grpc/health/v1/health.grpc.pb.h"

namespace signet::agent {

class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  void SetServing(bool serving) { serving_ = serving; }

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;

 private:
  std::atomic<bool> serving_{false};
};

}  // namespace signet::agent
