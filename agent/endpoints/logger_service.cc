#include "agent/endpoints/logger_service.h"

#include <array>
#include <utility>

namespace signet::agent {
namespace {

namespace api = spire::api::agent::logger::v1;
namespace types = spire::api::types;

// Ours has nothing above errors but silence, which PANIC and FATAL come to as well.
constexpr std::array<std::pair<LogLevel, types::LogLevel>, 6> kLevels = {{
    {LogLevel::kTrace, types::TRACE},
    {LogLevel::kDebug, types::DEBUG},
    {LogLevel::kInfo, types::INFO},
    {LogLevel::kWarn, types::WARN},
    {LogLevel::kError, types::ERROR},
    {LogLevel::kOff, types::FATAL},
}};

types::LogLevel ToProto(LogLevel level) {
  for (const auto& [ours, theirs] : kLevels)
    if (ours == level) return theirs;
  return types::FATAL;
}

LogLevel FromProto(types::LogLevel level) {
  for (const auto& [ours, theirs] : kLevels)
    if (theirs == level) return ours;
  return LogLevel::kOff;
}

}  // namespace

LoggerService::LoggerService(const Logger& log)
    : log_(log), launch_(ToProto(log.level())), current_(launch_) {}

types::Logger LoggerService::Levels() {
  const std::lock_guard lock(mutex_);
  types::Logger levels;
  levels.set_current_level(current_);
  levels.set_launch_level(launch_);
  return levels;
}

grpc::Status LoggerService::Set(int level) {
  if (level == types::UNSPECIFIED)
    return {grpc::StatusCode::INVALID_ARGUMENT, "new_level must be stated"};
  if (!types::LogLevel_IsValid(level))
    return {grpc::StatusCode::INVALID_ARGUMENT,
            "no log level has the number " + std::to_string(level)};
  const std::lock_guard lock(mutex_);
  current_ = static_cast<types::LogLevel>(level);
  log_.SetLevel(FromProto(current_));
  return grpc::Status::OK;
}

void LoggerService::Register(CallTable* calls, AttestationPool& pool) {
  const std::string service = "/spire.api.agent.logger.v1.Logger/";
  calls->AddUnary<api::GetLoggerRequest, types::Logger>(
      service + "GetLogger", &pool, [this](const api::GetLoggerRequest&, types::Logger* levels) {
        *levels = Levels();
        return grpc::Status::OK;
      });
  calls->AddUnary<api::SetLogLevelRequest, types::Logger>(
      service + "SetLogLevel", &pool,
      [this](const api::SetLogLevelRequest& request, types::Logger* levels) {
        const grpc::Status status = Set(request.new_level());
        if (!status.ok()) return status;
        log_.Info("log level set", {{"level", types::LogLevel_Name(request.new_level())}});
        *levels = Levels();
        return status;
      });
  calls->AddUnary<api::ResetLogLevelRequest, types::Logger>(
      service + "ResetLogLevel", &pool,
      [this](const api::ResetLogLevelRequest&, types::Logger* levels) {
        const grpc::Status status = Set(launch_);
        *levels = Levels();
        return status;
      });
}

}  // namespace signet::agent
