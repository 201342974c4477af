#include "identity/api/logger_service.h"

#include <catch2/catch.hpp>

#include "identity/api/convert.h"

namespace signet::identity {
namespace {

namespace types = spire::api::types;

TEST_CASE("the log's level can be set, and a reset goes back to the level at start") {
  const Logger log("test", LogLevel::kError, LogFormat::kText);
  LoggerService service(log);
  CHECK(service.Levels().current_level() == types::ERROR);
  CHECK(service.Levels().launch_level() == types::ERROR);
  const std::pair<types::LogLevel, LogLevel> levels[] = {
      {types::TRACE, LogLevel::kTrace}, {types::DEBUG, LogLevel::kDebug},
      {types::INFO, LogLevel::kInfo},   {types::WARN, LogLevel::kWarn},
      {types::ERROR, LogLevel::kError}, {types::FATAL, LogLevel::kOff},
      {types::PANIC, LogLevel::kOff}};
  for (const auto& [asked, set] : levels) {
    REQUIRE(service.SetLevel(asked));
    CHECK(service.Levels().current_level() == asked);
    CHECK(service.Levels().launch_level() == types::ERROR);
    CHECK(log.level() == set);
  }
  service.Reset();
  CHECK(service.Levels().current_level() == types::ERROR);
  CHECK(log.level() == LogLevel::kError);
}

TEST_CASE("what is no log level is refused, and the level stays") {
  const Logger log("test", LogLevel::kWarn, LogFormat::kText);
  LoggerService service(log);
  for (const int level : {0, 99, -1}) {
    const auto set = service.SetLevel(level);
    REQUIRE_FALSE(set);
    CHECK(set.error().code == Code::kInvalidArgument);
    CHECK(set.error().reason == kFieldInvalid);
  }
  CHECK(log.level() == LogLevel::kWarn);
}

}  // namespace
}  // namespace signet::identity
