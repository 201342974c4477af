// Structured log lines: a sentence and fields, as text for people or JSON for machines, to stderr.
// Passed through constructors. Never give it a secret: there is no type here that would hide one.
//
// Threads: safe from any thread. Never waits: what stderr does not take is left out and counted.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace spdlog {
class logger;
}

namespace signet {

enum class LogLevel { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat { kText, kJson };

// Absent when `text` is no level.
bool ParseLogLevel(std::string_view text, LogLevel* level);

struct LogField {
  template <class T>
  LogField(std::string_view k, const T& v) : key(k), value(fmt::format("{}", v)) {}
  std::string_view key;
  std::string value;
};
using LogFields = std::initializer_list<LogField>;

class Logger {
 public:
  // `program` names each line's source. Lines go to stderr.
  Logger(std::string program, LogLevel level, LogFormat format);
  // Swallows everything; for tests.
  static Logger Null();
  ~Logger();
  Logger(Logger&&) noexcept;

  void Debug(std::string_view message, LogFields fields = {}) const {
    Write(LogLevel::kDebug, message, fields);
  }
  void Info(std::string_view message, LogFields fields = {}) const {
    Write(LogLevel::kInfo, message, fields);
  }
  void Warn(std::string_view message, LogFields fields = {}) const {
    Write(LogLevel::kWarn, message, fields);
  }
  void Error(std::string_view message, LogFields fields = {}) const {
    Write(LogLevel::kError, message, fields);
  }

  LogLevel level() const;
  void SetLevel(LogLevel level) const;

 private:
  void Write(LogLevel level, std::string_view message, LogFields fields) const;
  std::shared_ptr<spdlog::logger> logger_;
  LogFormat format_ = LogFormat::kText;
};

// The text as the inside of a JSON string, also on a terminal: quotes, backslashes, control
// characters and those that reorder text are escaped, and bytes that are not UTF-8 are \ufffd, so
// the result is valid UTF-8 of one line. At most `limit` bytes of `text` are taken, whole
// characters only; what is cut is told by "...".
std::string EscapeForLog(std::string_view text, std::size_t limit = 1024);

}  // namespace signet
