#include "proxy/forward/connection_age.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "tests/support/fake_clock.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using Due = ConnectionAge::Due;

constexpr std::uint64_t kLatest = UINT64_MAX;

struct Times {
  ConnectionAge::Moment Now() const { return {clock.SteadyNow(), clock.Now()}; }
  test::FakeClock clock;
};

TEST_CASE("without a maximum and without an SVID a connection is never too old") {
  Times times;
  for (const bool retires : {false, true}) {
    const ConnectionAge age(times.Now(), std::nullopt, kLatest);
    times.clock.Advance(24h * 365);
    CHECK(age.At({0s, 0s, retires}, times.Now()) == Due::kNothing);
    CHECK(age.Next({0s, 0s, retires}, times.Now()) == Duration::max());
  }
  CHECK(ConnectionAge().At({0s, 0s, true}, times.Now()) == Due::kNothing);
}

TEST_CASE("what began together ends evenly spread between a tenth of the maximum and all of it") {
  Times times;
  const AgeTerms terms{100s, 0s, false};
  std::vector<double> ends;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const ConnectionAge age(times.Now(), std::nullopt, UINT64_MAX / 100 * i);
    ends.push_back(std::chrono::duration<double>(age.Next(terms, times.Now())).count());
  }
  CHECK(*std::ranges::min_element(ends) == Approx(10));
  CHECK(*std::ranges::max_element(ends) <= 100);
  for (std::size_t i = 1; i < ends.size(); ++i)
    CHECK(ends[i] - ends[i - 1] == Approx(0.9).margin(0.001));
}

TEST_CASE("bytes are cut at the moment that was said before, and not earlier") {
  Times times;
  const AgeTerms terms{60s, 30s, false};
  const ConnectionAge age(times.Now(), times.clock.Now() + 20s, kLatest / 2);
  const Duration left = age.Next(terms, times.Now());
  CHECK(left > 6s);
  times.clock.Advance(left - 1ms);
  CHECK(age.At(terms, times.Now()) == Due::kNothing);
  times.clock.Advance(1ms);
  CHECK(age.At(terms, times.Now()) == Due::kCut);
  // A reload that takes the limit away takes it from connections too.
  CHECK(age.At({0s, 30s, false}, times.Now()) == Due::kNothing);
}

TEST_CASE("what can finish is retired first, once, and cut when its grace is over") {
  Times times;
  const AgeTerms terms{60s, 30s, true};
  ConnectionAge age(times.Now(), std::nullopt, kLatest);
  times.clock.Advance(age.Next(terms, times.Now()));
  CHECK(age.At(terms, times.Now()) == Due::kRetire);
  age.Retire(times.Now().steady);
  CHECK(age.At(terms, times.Now()) == Due::kNothing);
  CHECK(age.Next(terms, times.Now()) == 30s);
  times.clock.Advance(30s);
  CHECK(age.At(terms, times.Now()) == Due::kCut);
}

TEST_CASE("a maximum that is set when a connection is older already retires it before it cuts") {
  Times times;
  ConnectionAge age(times.Now(), std::nullopt, kLatest);
  times.clock.Advance(1h);
  const AgeTerms terms{60s, 30s, true};
  CHECK(age.At(terms, times.Now()) == Due::kRetire);
  age.Retire(times.Now().steady);
  CHECK(age.At(terms, times.Now()) == Due::kNothing);
}

TEST_CASE("what can finish is retired before its peer's SVID ends, whatever the maximum") {
  for (const Duration max : {Duration(0s), Duration(24h)})
    for (const std::uint64_t draw : {std::uint64_t{0}, kLatest / 2, kLatest}) {
      Times times;
      const AgeTerms terms{max, 30s, true};
      ConnectionAge age(times.Now(), times.clock.Now() + 1000s, draw);
      const Duration left = age.Next(terms, times.Now());
      CHECK(left >= 900s);
      CHECK(left <= 950s);
      times.clock.Advance(left);
      CHECK(age.At(terms, times.Now()) == Due::kRetire);
      age.Retire(times.Now().steady);
      // The SVID's own end is what cuts it.
      times.clock.Advance(49s);
      CHECK(age.At(terms, times.Now()) == Due::kNothing);
    }
}

TEST_CASE("the SVID's end is one of wall time: a clock that was set is believed") {
  Times times;
  const AgeTerms terms{0s, 0s, true};
  const ConnectionAge age(times.Now(), times.clock.Now() + 1000s, 0);
  times.clock.SetWall(times.clock.Now() + 990s);
  CHECK(age.At(terms, times.Now()) == Due::kRetire);
  // One that had ended before is retired at once.
  const ConnectionAge late(times.Now(), times.clock.Now() - 5s, 0);
  CHECK(late.At(terms, times.Now()) == Due::kRetire);
}

}  // namespace
}  // namespace signet::proxy
