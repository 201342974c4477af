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
    WorkerPool pool(2, QueueLimits::Of(100));
    for (int i = 0; i < 50; ++i) REQUIRE(pool.Submit({.account = "a", .run = [&] { ++ran; }}));
  }
  CHECK(ran == 50);
}

TEST_CASE("worker pool: a full queue refuses, and takes again when there is room") {
  std::latch started(1), go(1), done(1);
  WorkerPool pool(1, QueueLimits::Of(2));
  REQUIRE(pool.Submit({.account = "a", .run = [&] {
                         started.count_down();
                         go.wait();
                       }}));
  started.wait();
  CHECK(pool.Submit({.account = "a", .run = [] {}}));
  CHECK(pool.Submit({.account = "a", .run = [&] { done.count_down(); }}));
  CHECK_FALSE(pool.Submit({.account = "b", .run = [] {}}));
  CHECK(pool.queued() == 2);
  go.count_down();
  done.wait();
  CHECK(pool.Submit({.account = "a", .run = [] {}}));
}

TEST_CASE("worker pool: heavy work is done to its end too, also when the pool ends") {
  std::atomic<int> ran = 0, at_once = 0, most = 0;
  {
    WorkerPool pool(8, {.heavy_at_once = 2});
    for (int i = 0; i < 200; ++i) {
      REQUIRE(pool.Submit({.account = "a", .is_heavy = true, .run = [&] {
                             const int now = ++at_once;
                             int seen = most;
                             while (seen < now && !most.compare_exchange_weak(seen, now)) {
                             }
                             std::this_thread::yield();
                             --at_once;
                             ++ran;
                           }}));
    }
  }
  CHECK(ran == 200);
  CHECK(most <= 2);
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

TEST_CASE("rate limit: who shows an SVID is counted by it, wherever it calls from") {
  test::FakeClock clock;
  RateLimiter limiter(1, clock);
  const auto agent = [](const char* id, const std::string& remote) {
    Caller caller = From(remote);
    caller.kind = CallerKind::kCertificate;
    caller.id = SpiffeId::Parse(id).value();
    return caller;
  };
  CHECK(limiter.Take(agent("spiffe://example.org/a", "10.0.0.1:1"), 1));
  CHECK_FALSE(limiter.Take(agent("spiffe://example.org/a", "10.0.0.2:1"), 1));
  CHECK(limiter.Take(agent("spiffe://example.org/b", "10.0.0.1:1"), 1));
  CHECK(limiter.Take(From("10.0.0.1:1"), 1));
}

TEST_CASE(
    "rate limit: addresses of one IPv6 network share, IPv4 addresses written as IPv6 do not") {
  test::FakeClock clock;
  RateLimiter limiter(1, clock);
  CHECK(limiter.Take(From("[2001:db8::1]:1"), 1));
  CHECK_FALSE(limiter.Take(From("[2001:db8::2]:1"), 1));
  CHECK(limiter.Take(From("[2001:db8:0:1::2]:1"), 1));
  CHECK(limiter.Take(From("[::ffff:10.0.0.1]:1"), 1));
  CHECK(limiter.Take(From("[::ffff:10.0.0.2]:1"), 1));
  CHECK_FALSE(limiter.Take(From("[::ffff:10.0.0.2]:2"), 1));
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
