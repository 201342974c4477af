#include "base/log_limit.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"

namespace signet {
namespace {

TEST_CASE("so many lines a second are written, and the next one says how many were left out") {
  test::FakeClock clock;
  LogLimiter limiter(clock, 2);
  CHECK(limiter.Admit() == 0);
  CHECK(limiter.Admit() == 0);
  CHECK_FALSE(limiter.Admit());
  clock.Advance(std::chrono::milliseconds(999));
  CHECK_FALSE(limiter.Admit());
  clock.Advance(std::chrono::milliseconds(1));
  CHECK(limiter.Admit() == 2);
  CHECK(limiter.Admit() == 0);
  CHECK_FALSE(limiter.Admit());
}

TEST_CASE("a quiet hour saves up no lines") {
  test::FakeClock clock;
  LogLimiter limiter(clock, 1);
  clock.Advance(std::chrono::hours(1));
  CHECK(limiter.Admit() == 0);
  CHECK_FALSE(limiter.Admit());
}

}  // namespace
}  // namespace signet
