// gRPC health as SPIRE's agent has it: the process as a whole, by Check alone.
//
// Threads: safe from any thread.
#pragma once

#include <atomic>

#include "agent/endpoints/call_table.h"

namespace signet::agent {

inline constexpr const char* kHealth = "grpc.health.v1.Health";

class HealthService {
 public:
  void SetServing(bool serving) { serving_ = serving; }
  void Register(CallTable* calls);

 private:
  std::atomic<bool> serving_{false};
};

}  // namespace signet::agent
