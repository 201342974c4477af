// gRPC server reflection, under its present and its older name: which services the socket has, and
// the descriptors of what is compiled into this program.
//
// Threads: gRPC's.
#pragma once

#include <string>
#include <vector>

#include "agent/endpoints/caller_gate.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace signet::agent {

inline constexpr const char* kReflectionV1 = "grpc.reflection.v1.ServerReflection";
inline constexpr const char* kReflectionV1Alpha = "grpc.reflection.v1alpha.ServerReflection";

template <class Service, class Request, class Response>
class ReflectionService final : public Service::CallbackService {
 public:
  ReflectionService(CallerGate& gate, const std::vector<std::string>& services)
      : gate_(gate), services_(services) {}
  grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(
      grpc::CallbackServerContext* context) override;

 private:
  CallerGate& gate_;
  const std::vector<std::string>& services_;
};

struct ReflectionServices {
  // `services`: full names of what the socket has.
  ReflectionServices(CallerGate& gate, std::vector<std::string> services)
      : names(std::move(services)), v1(gate, names), v1alpha(gate, names) {}

  const std::vector<std::string> names;
  ReflectionService<grpc::reflection::v1::ServerReflection,
                    grpc::reflection::v1::ServerReflectionRequest,
                    grpc::reflection::v1::ServerReflectionResponse>
      v1;
  ReflectionService<grpc::reflection::v1alpha::ServerReflection,
                    grpc::reflection::v1alpha::ServerReflectionRequest,
                    grpc::reflection::v1alpha::ServerReflectionResponse>
      v1alpha;
};

}  // namespace signet::agent
