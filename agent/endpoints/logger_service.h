// SPIRE's logger API of an agent: the level of the log, read and set while it runs.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>

#include "agent/endpoints/call_table.h"
#include "base/log.h"
#include "spire/api/agent/logger/v1/logger.pb.h"

namespace signet::agent {

class LoggerService {
 public:
  explicit LoggerService(const Logger& log);
  // Answers are made on `pool`: the log may wait for its file.
  void Register(CallTable* calls, AttestationPool& pool);

 private:
  grpc::Status Set(int level);
  spire::api::types::Logger Levels();

  const Logger& log_;
  const spire::api::types::LogLevel launch_;
  std::mutex mutex_;
  spire::api::types::LogLevel current_;
};

}  // namespace signet::agent
