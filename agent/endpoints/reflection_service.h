// gRPC server reflection, under its present and its older name: which services the socket has, and
// the descriptors of what is compiled into this program.
//
// Threads: calls begin on the socket's loop; answers are made on the threads that attest.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/endpoints/call_table.h"
#include "agent/endpoints/caller_gate.h"

namespace signet::agent {

inline constexpr const char* kReflectionV1 = "grpc.reflection.v1.ServerReflection";
inline constexpr const char* kReflectionV1Alpha = "grpc.reflection.v1alpha.ServerReflection";

class ReflectionService {
 public:
  // `services`: full names of what the socket has.
  ReflectionService(CallerGate& gate, AttestationPool& pool, std::vector<std::string> services)
      : gate_(gate), pool_(pool), services_(std::move(services)) {}
  void Register(CallTable* calls);

 private:
  template <class Request, class Response>
  std::shared_ptr<net::RpcHandler> Open(const Arrival& arrival);

  CallerGate& gate_;
  AttestationPool& pool_;
  const std::vector<std::string> services_;
};

}  // namespace signet::agent
