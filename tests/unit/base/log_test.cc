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

TEST_CASE("bytes that are not UTF-8 are replaced, so a JSON line is valid whoever wrote its text") {
  CHECK(EscapeForLog("Zürich €\xf0\x9f\x94\x91") == "Zürich €\xf0\x9f\x94\x91");
  CHECK(EscapeForLog("a\xff\x80z") == "a\\ufffd\\ufffdz");
  CHECK(EscapeForLog("\xc0\xaf") == "\\ufffd\\ufffd");             // a longer form than needed
  CHECK(EscapeForLog("\xe0\x80\xaf") == "\\ufffd\\ufffd\\ufffd");  // the same in three bytes
  CHECK(EscapeForLog("\xed\xa0\x80") == "\\ufffd\\ufffd\\ufffd");  // a surrogate
  CHECK(EscapeForLog("\xf4\x90\x80\x80").starts_with("\\ufffd"));  // above U+10FFFF
  CHECK(EscapeForLog("\xf0\x80\x80\x80").starts_with("\\ufffd"));
  CHECK(EscapeForLog("a\xe2\x82") == "a\\ufffd\\ufffd");  // ends inside a character
  CHECK(EscapeForLog("\xc3\"") == "\\ufffd\\\"");         // the quote is not swallowed
}

TEST_CASE("characters that steer a terminal or reorder text are escaped") {
  CHECK(EscapeForLog("\xc2\x9b"
                     "2J") == "\\u009b2J");          // the one-byte escape sequence
  CHECK(EscapeForLog("\xe2\x80\xae") == "\\u202e");  // right-to-left override
  CHECK(EscapeForLog("\xe2\x81\xa6") == "\\u2066");
  CHECK(EscapeForLog("\xe2\x80\xa8") == "\\u2028");  // a line separator
  CHECK(EscapeForLog("\x7f") == "\\u007f");
}

TEST_CASE("a cut never falls inside a character") {
  CHECK(EscapeForLog("aé", 2) == "a...");
  CHECK(EscapeForLog("aé", 3) == "aé");
  CHECK(EscapeForLog("a\xf0\x9f\x94\x91z", 4) == "a...");
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
