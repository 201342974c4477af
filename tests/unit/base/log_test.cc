#include "base/log.h"

#include <catch2/catch.hpp>

namespace signet {
namespace {

TEST_CASE("text from outside cannot start a new log line or end its quotes") {
  CHECK(EscapeForLog("plain text") == "plain text");
  const std::string escaped = EscapeForLog(std::string("a\n\r\t\x1b\"\\\0b", 9));
  for (const char c : escaped) CHECK(static_cast<unsigned char>(c) >= 0x20);
  CHECK(escaped.find("\\u000a") != std::string::npos);
  CHECK(escaped.find("\\\"") != std::string::npos);
  CHECK(escaped.find("\\\\") != std::string::npos);
  CHECK(escaped.ends_with("b"));
}

TEST_CASE("long text is cut") {
  CHECK(EscapeForLog(std::string(5000, 'x')).size() < 1100);
  CHECK(EscapeForLog(std::string(50, 'x'), 10).size() < 20);
  CHECK(EscapeForLog(std::string(10, 'x'), 10) == std::string(10, 'x'));
}

TEST_CASE("levels are read by name and anything else is refused") {
  LogLevel level = LogLevel::kOff;
  CHECK(ParseLogLevel("warn", &level));
  CHECK(level == LogLevel::kWarn);
  CHECK(ParseLogLevel("debug", &level));
  CHECK(level == LogLevel::kDebug);
  CHECK_FALSE(ParseLogLevel("loud", &level));
  CHECK_FALSE(ParseLogLevel("", &level));
  CHECK(level == LogLevel::kDebug);
}

TEST_CASE("a logger's level can be read and changed while it runs") {
  const Logger logger("test", LogLevel::kOff, LogFormat::kJson);
  CHECK(logger.level() == LogLevel::kOff);
  logger.SetLevel(LogLevel::kError);
  CHECK(logger.level() == LogLevel::kError);
  CHECK(Logger::Null().level() == LogLevel::kOff);
}

}  // namespace
}  // namespace signet
