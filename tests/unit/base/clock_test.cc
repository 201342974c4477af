#include "base/clock.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"

namespace signet {
namespace {

using namespace std::chrono_literals;

TEST_CASE("times are written in UTC, to the second, rounded down") {
  CHECK(FormatTime(FromUnixSeconds(0)) == "1970-01-01T00:00:00Z");
  CHECK(FormatTime(FromUnixSeconds(1767225599)) == "2025-12-31T23:59:59Z");
  CHECK(FormatTime(FromUnixSeconds(1767225600) + 999ms) == "2026-01-01T00:00:00Z");
  CHECK(FormatTime(FromUnixSeconds(-1)) == "1969-12-31T23:59:59Z");
}

TEST_CASE("Unix seconds round down before the epoch too") {
  CHECK(UnixSeconds(FromUnixSeconds(5) + 999ms) == 5);
  CHECK(UnixSeconds(FromUnixSeconds(0) - 1ms) == -1);
}

TEST_CASE("durations are written with their two most significant units") {
  const auto [duration, text] = GENERATE(table<Duration, std::string>({
      {0s, "0s"},
      {999ns, "0s"},
      {1us, "1us"},
      {250ms, "250ms"},
      {90s, "1m30s"},
      {1h, "1h"},
      {1h + 5s, "1h"},
      {90min, "1h30m"},
      {49h + 59min, "2d1h"},
      {-90s, "-1m30s"},
  }));
  CHECK(FormatDuration(duration) == text);
}

TEST_CASE("the fake clock moves when told: both times together, or one alone") {
  test::FakeClock clock;
  const WallTime wall = clock.Now();
  const SteadyTime steady = clock.SteadyNow();
  clock.Advance(90s);
  CHECK(clock.Now() - wall == 90s);
  CHECK(clock.SteadyNow() - steady == 90s);
  clock.SetWall(wall);
  CHECK(clock.Now() == wall);
  CHECK(clock.SteadyNow() - steady == 90s);
}

TEST_CASE("the system clock's steady time does not run backwards") {
  const SystemClock clock;
  const SteadyTime before = clock.SteadyNow();
  CHECK(clock.SteadyNow() >= before);
  CHECK(UnixSeconds(clock.Now()) > 1700000000);
}

}  // namespace
}  // namespace signet
