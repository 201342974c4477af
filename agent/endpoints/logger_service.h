// SPIRE's logger API of an agent: the level of the log, read and set while it runs.
//
// Threads: gRPC's.
#pragma once

#include <mutex>

#include "base/log.h"
#include "spire/api/agent/logger/v1/logger.grpc.pb.h"

namespace signet::agent {

class LoggerService final : public spire::api::agent::logger::v1::Logger::CallbackService {
 public:
  explicit LoggerService(const Logger& log);

  grpc::ServerUnaryReactor* GetLogger(
      grpc::CallbackServerContext* context,
      const spire::api::agent::logger::v1::GetLoggerRequest* request,
      spire::api::types::Logger* response) override;
  grpc::ServerUnaryReactor* SetLogLevel(
      grpc::CallbackServerContext* context,
      const spire::api::agent::logger::v1::SetLogLevelRequest* request,
      spire::api::types::Logger* response) override;
  grpc::ServerUnaryReactor* ResetLogLevel(
      grpc::CallbackServerContext* context,
      const spire::api::agent::logger::v1::ResetLogLevelRequest* request,
      spire::api::types::Logger* response) override;

 private:
  grpc::Status Set(int level);
  spire::api::types::Logger Levels();

  const Logger& log_;
  const spire::api::types::LogLevel launch_;
  std::mutex mutex_;
  spire::api::types::LogLevel current_;
};

}  // namespace signet::agent
