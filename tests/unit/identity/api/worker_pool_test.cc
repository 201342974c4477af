#include "identity/api/worker_pool.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>

#include "identity/api/rate_limiter.h"
#include "tests/support/fake_clock.h"

namespace signet::identity {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Caller From(const std::string& remote) {
  Caller caller;
  caller.kind = CallerKind::kAnonymous;
  caller.remote = remote;
  return caller;
}

TEST_CASE("worker pool: what was taken runs, also when the pool ends") {
  std::atomic<int> ran = 0;
  {
    WorkerPool pool(2, 100);
    for (int i = 0; i < 50; ++i) REQUIRE(pool.Submit([&] { ++ran; }));
  }
  CHECK(ran == 50);
}

TEST_CASE("worker pool: a full queue refuses, and takes again when there is room") {
  std::latch started(1), go(1), done(1);
  WorkerPool pool(1, 2);
  REQUIRE(pool.Submit([&] {
    started.count_down();
    go.wait();
  }));
  started.wait();
  CHECK(pool.Submit([] {}));
  CHECK(pool.Submit([&] { done.count_down(); }));
  CHECK_FALSE(pool.Submit([] {}));
  CHECK(pool.queued() == 2);
  go.count_down();
  done.wait();
  CHECK(pool.Submit([] {}));
}

TEST_CASE("rate limit: a second's worth at once, then as time passes") {
  test::FakeClock clock;
  RateLimiter limiter(500, clock);
  const auto caller = From("10.0.0.1:1000");
  CHECK(limiter.Take(caller, 500));
  const auto refused = limiter.Take(caller, 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kResourceExhausted);
  CHECK(refused.error().reason == kRateExceeded);
  clock.Advance(milliseconds(100));
  CHECK(limiter.Take(caller, 50));
  CHECK_FALSE(limiter.Take(caller, 1));
}

TEST_CASE("rate limit: more than a second's worth is refused whole, and takes nothing") {
  test::FakeClock clock;
  RateLimiter limiter(500, clock);
  CHECK_FALSE(limiter.Take(From("10.0.0.1:1"), 501));
  CHECK(limiter.Take(From("10.0.0.1:1"), 500));
}

TEST_CASE("rate limit: ports of one address share, addresses do not, the admin socket is free") {
  test::FakeClock clock;
  RateLimiter limiter(1, clock);
  CHECK(limiter.Take(From("10.0.0.1:1"), 1));
  CHECK_FALSE(limiter.Take(From("10.0.0.1:2"), 1));
  CHECK(limiter.Take(From("10.0.0.2:1"), 1));
  CHECK(limiter.Take(From("[::1]:1"), 1));
  CHECK_FALSE(limiter.Take(From("[::1]:2"), 1));
  Caller local;
  local.kind = CallerKind::kLocal;
  for (int i = 0; i < 3; ++i) CHECK(limiter.Take(local, 1));
  RateLimiter off(0, clock);
  for (int i = 0; i < 3; ++i) CHECK(off.Take(From("10.0.0.1:1"), 1000));
}

}  // namespace
}  // namespace signet::identity
