#include "identity/api/logger_service.h"

#include "identity/api/convert.h"
#include "spire/api/server/logger/v1/logger.pb.h"

namespace signet::identity {
namespace {

namespace types = spire::api::types;
using spire::api::server::logger::v1::GetLoggerRequest;
using spire::api::server::logger::v1::ResetLogLevelRequest;
using spire::api::server::logger::v1::SetLogLevelRequest;

types::LogLevel ToProto(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return types::TRACE;
    case LogLevel::kDebug:
      return types::DEBUG;
    case LogLevel::kInfo:
      return types::INFO;
    case LogLevel::kWarn:
      return types::WARN;
    case LogLevel::kError:
      return types::ERROR;
    case LogLevel::kOff:
      return types::FATAL;
  }
  return types::FATAL;
}

LogLevel FromProto(types::LogLevel level) {
  switch (level) {
    case types::TRACE:
      return LogLevel::kTrace;
    case types::DEBUG:
      return LogLevel::kDebug;
    case types::INFO:
      return LogLevel::kInfo;
    case types::WARN:
      return LogLevel::kWarn;
    case types::ERROR:
      return LogLevel::kError;
    default:
      return LogLevel::kOff;
  }
}

}  // namespace

LoggerService::LoggerService(const Logger& log)
    : log_(log), launch_(ToProto(log.level())), current_(launch_) {}

types::Logger LoggerService::Levels() const {
  types::Logger levels;
  levels.set_current_level(current_);
  levels.set_launch_level(launch_);
  return levels;
}

Status LoggerService::SetLevel(int level) {
  if (level == types::UNSPECIFIED)
    return Fail(Code::kInvalidArgument, kFieldInvalid, "new_level: must be stated");
  if (!types::LogLevel_IsValid(level))
    return Fail(Code::kInvalidArgument, kFieldInvalid,
                "new_level: no log level has the number " + std::to_string(level));
  current_ = static_cast<types::LogLevel>(level);
  log_.SetLevel(FromProto(current_));
  return {};
}

void LoggerService::Reset() {
  current_ = launch_;
  log_.SetLevel(FromProto(launch_));
}

void LoggerService::Register(Router* router) {
  router->AddInline("/spire.api.server.logger.v1.Logger/GetLogger",
                    Unary<GetLoggerRequest, types::Logger>(
                        [this](const Caller&, const GetLoggerRequest&) -> Result<types::Logger> {
                          return Levels();
                        }));
  router->AddInline(
      "/spire.api.server.logger.v1.Logger/SetLogLevel",
      Unary<SetLogLevelRequest, types::Logger>(
          [this](const Caller& caller, const SetLogLevelRequest& request) -> Result<types::Logger> {
            SIGNET_RETURN_IF_ERROR(SetLevel(request.new_level()));
            log_.Info("log level set", {{"level", types::LogLevel_Name(request.new_level())},
                                        {"by", caller.Name()}});
            return Levels();
          }));
  router->AddInline(
      "/spire.api.server.logger.v1.Logger/ResetLogLevel",
      Unary<ResetLogLevelRequest, types::Logger>(
          [this](const Caller&, const ResetLogLevelRequest&) -> Result<types::Logger> {
            Reset();
            return Levels();
          }));
}

}  // namespace signet::identity
