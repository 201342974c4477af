#include "base/log.h"

#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace signet {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

std::string_view LevelName(LogLevel level) {
  static constexpr std::string_view kNames[] = {"trace", "debug", "info", "warn", "error", "off"};
  return kNames[static_cast<std::size_t>(level)];
}

bool NeedsQuotes(std::string_view value) {
  return value.empty() || value.find_first_of(" =\"") != std::string_view::npos;
}

}  // namespace

bool ParseLogLevel(std::string_view text, LogLevel* level) {
  for (const LogLevel candidate : {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo,
                                   LogLevel::kWarn, LogLevel::kError, LogLevel::kOff}) {
    if (text == LevelName(candidate)) {
      *level = candidate;
      return true;
    }
  }
  return false;
}

std::string EscapeForLog(std::string_view text, std::size_t limit) {
  std::string out;
  out.reserve(std::min(text.size(), limit) + 8);
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  if (text.size() > limit) out += "...";
  return out;
}

Logger::Logger(std::string program, LogLevel level, LogFormat format) : format_(format) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  logger_ = std::make_shared<spdlog::logger>(program, sink);
  logger_->set_pattern(format == LogFormat::kJson
                           ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","program":"%n",%v})"
                           : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %n: %v",
                       spdlog::pattern_time_type::utc);
  SetLevel(level);
}

Logger::~Logger() = default;
Logger::Logger(Logger&&) noexcept = default;

Logger Logger::Null() {
  Logger logger("null", LogLevel::kOff, LogFormat::kText);
  return logger;
}

LogLevel Logger::level() const {
  for (const LogLevel level :
       {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError})
    if (ToSpdlog(level) == logger_->level()) return level;
  return LogLevel::kOff;
}

void Logger::SetLevel(LogLevel level) const { logger_->set_level(ToSpdlog(level)); }

void Logger::Write(LogLevel level, std::string_view message, LogFields fields) const {
  if (!logger_->should_log(ToSpdlog(level))) return;
  std::string line;
  if (format_ == LogFormat::kJson) {
    line = fmt::format(R"("message":"{}")", EscapeForLog(message));
    for (const LogField& field : fields)
      line += fmt::format(R"(,"{}":"{}")", field.key, EscapeForLog(field.value, 4096));
  } else {
    line = EscapeForLog(message);
    for (const LogField& field : fields) {
      const std::string value = EscapeForLog(field.value, 4096);
      line += NeedsQuotes(value) ? fmt::format(" {}=\"{}\"", field.key, value)
                                 : fmt::format(" {}={}", field.key, value);
    }
  }
  logger_->log(ToSpdlog(level), "{}", line);
}

}  // namespace signet
