// signet.mesh.v1.Mesh on the public socket: what proxies are told beside the Workload API. Callers
// are attested, limited and counted as the Workload API's are.
//
// Threads: gRPC's.
#pragma once

#include "agent/endpoints/workload_service.h"
#include "signet/mesh/v1/mesh.grpc.pb.h"

namespace signet::agent {

class MeshService final : public signet::mesh::v1::Mesh::CallbackService {
 public:
  // `workloads` outlives this.
  explicit MeshService(WorkloadService& workloads) : workloads_(workloads) {}

  grpc::ServerWriteReactor<signet::mesh::v1::WatchResponse>* Watch(
      grpc::CallbackServerContext* context, const signet::mesh::v1::WatchRequest*) override {
    return workloads_.WatchDenials(context);
  }

 private:
  WorkloadService& workloads_;
};

}  // namespace signet::agent
