#include "proxy/telemetry/tap.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/fake_clock.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

Record Of(std::string_view path) {
  Record record;
  record.path = path;
  return record;
}

}  // namespace

TEST_CASE("who taps sees records from when it began, in order, and what it missed") {
  test::FakeClock clock;
  Tap tap(clock);
  tap.Take(Of("/unwatched"));
  const std::uint64_t begin = tap.Begin();
  CHECK(json::parse(tap.Since(begin))["records"].empty());
  tap.Take(Of("/a"));
  tap.Take(Of("/b"));
  const json two = json::parse(tap.Since(begin));
  REQUIRE(two["records"].size() == 2);
  CHECK(two["records"][0]["path"] == "/a");
  CHECK(two["records"][1]["path"] == "/b");
  CHECK(two["next"] == begin + 2);
  CHECK(two["missed"] == 0);
  CHECK(json::parse(tap.Since(two["next"]))["records"].empty());

  for (std::size_t i = 0; i < Tap::kKept + 10; ++i) tap.Take(Of("/many"));
  const json many = json::parse(tap.Since(begin + 2));
  CHECK(many["missed"] == 10);
  CHECK(many["records"].size() == Tap::kMaxAnswer);
  CHECK(many["next"] == begin + 2 + 10 + Tap::kMaxAnswer);
  // A number that is not there yet is not waited for.
  CHECK(json::parse(tap.Since(UINT64_MAX))["records"].empty());
}

TEST_CASE("a tap that nobody asks any more keeps nothing") {
  test::FakeClock clock;
  Tap tap(clock);
  const std::uint64_t begin = tap.Begin();
  tap.Take(Of("/a"));
  tap.Flush();
  CHECK(tap.watched());
  clock.Advance(6s);
  tap.Flush();
  CHECK_FALSE(tap.watched());
  tap.Take(Of("/b"));
  CHECK(json::parse(tap.Since(begin))["records"].empty());
}

}  // namespace signet::proxy
