#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
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

// A pipe in place of stderr while it lives.
class StderrPipe {
 public:
  StderrPipe() {
    REQUIRE(pipe2(ends_, O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends_[0], F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(dup2(ends_[1], STDERR_FILENO) == STDERR_FILENO);
  }
  ~StderrPipe() {
    dup2(saved_, STDERR_FILENO);
    for (const int fd : {saved_, ends_[0], ends_[1]}) close(fd);
  }
  std::string Read() const {
    std::string all;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(ends_[0], buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<std::size_t>(got));
    return all;
  }

 private:
  const int saved_ = dup(STDERR_FILENO);
  int ends_[2] = {-1, -1};
};

TEST_CASE("a logger does not wait for whoever reads its lines, and says how many it left out") {
  const bool is_json = GENERATE(false, true);
  const StderrPipe reader;
  const Logger logger("test", LogLevel::kInfo, is_json ? LogFormat::kJson : LogFormat::kText);
  constexpr int kLines = 1000;  // with 500 bytes each: several times what a pipe holds
  for (int i = 0; i < kLines; ++i) logger.Info(std::string(500, 'x'));
  const std::string taken = reader.Read();
  const auto count = std::count(taken.begin(), taken.end(), '\n');
  CHECK(count > 10);
  CHECK(count < kLines);
  CHECK(taken.ends_with('\n'));
  logger.Info("on again");
  const std::string after = reader.Read();
  const std::string lost = std::to_string(kLines - count);
  CHECK_THAT(after,
             Catch::Contains(is_json ? "\"count\":\"" + lost + "\"}\n" : "count=" + lost + "\n"));
  CHECK_THAT(after, Catch::Contains("on again"));
  CHECK(std::count(after.begin(), after.end(), '\n') == 2);
}

TEST_CASE("a line longer than a pipe takes at once arrives whole") {
  const StderrPipe reader;
  const Logger logger("test", LogLevel::kInfo, LogFormat::kText);
  logger.Info("long", {{"a", std::string(4096, 'a')}, {"b", std::string(4096, 'b')}});
  const std::string taken = reader.Read();
  CHECK_THAT(taken, Catch::Contains(std::string(4096, 'a')));
  CHECK(taken.ends_with(std::string(4096, 'b') + "\n"));
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
