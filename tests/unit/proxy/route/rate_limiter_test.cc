#include "proxy/route/rate_limiter.h"

#include <catch2/catch.hpp>

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

const SteadyTime kStart = SteadyTime(1h);

int Granted(RateLimiter& limiter, const std::string& caller, SteadyTime now, int asked) {
  int granted = 0;
  for (int i = 0; i < asked; ++i) granted += limiter.Take(caller, now) ? 0 : 1;
  return granted;
}

TEST_CASE("a burst is granted at once, then as many as the time brings") {
  RateLimiter limiter({mesh::RateLimit{10, 1s, 5}, std::nullopt});
  CHECK(Granted(limiter, "a", kStart, 100) == 5);
  CHECK(*limiter.Take("a", kStart) == 100ms);
  CHECK_FALSE(limiter.Take("a", kStart + 100ms));
  CHECK(limiter.Take("a", kStart + 100ms));
  int granted = 0;
  for (int i = 1; i <= 1000; ++i) granted += Granted(limiter, "a", kStart + 100ms + i * 10ms, 3);
  CHECK(granted == 100);
  CHECK(Granted(limiter, "a", kStart + 1h, 100) == 5);
}

TEST_CASE("attack 43: one that asks too much leaves the others their share") {
  RateLimiter limiter({mesh::RateLimit{10, 1s, 10}, mesh::RateLimit{25, 1s, 25}});
  CHECK(Granted(limiter, "abuser", kStart, 1000) == 10);
  CHECK(Granted(limiter, "b", kStart, 10) == 10);
  // The total is reached, and what it refused was not taken from the caller's own.
  CHECK(Granted(limiter, "c", kStart, 10) == 5);
  CHECK(Granted(limiter, "c", kStart + 200ms, 10) == 5);
}

TEST_CASE("attack 43: callers are remembered up to a number, the latest of them") {
  RateLimiter limiter({mesh::RateLimit{1, 1h, 1}, std::nullopt}, 2);
  CHECK_FALSE(limiter.Take("a", kStart));
  CHECK_FALSE(limiter.Take("b", kStart));
  CHECK(limiter.Take("a", kStart));
  CHECK_FALSE(limiter.Take("c", kStart));  // b is forgotten
  CHECK(limiter.Take("a", kStart));
  CHECK_FALSE(limiter.Take("b", kStart));
}

}  // namespace
}  // namespace signet::proxy
