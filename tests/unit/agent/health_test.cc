// How well the agent says it is: good, warned before anything ends, failing with the reason.
#include "agent/status/health.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;

namespace {

const WallTime kNow = FromUnixSeconds(signet::test::FakeClock::kDefaultUnixSeconds);

HealthFacts Well() {
  HealthFacts facts;
  facts.now = kNow;
  facts.serving = true;
  facts.synced = true;
  facts.node_not_before = kNow - 10min;
  facts.node_not_after = kNow + 50min;
  facts.unheard = 30s;
  facts.svids.fresh = 5;
  facts.svids.soonest_end = kNow + 20min;
  facts.most_svids = 20'000;
  return facts;
}

}  // namespace

TEST_CASE("an agent that lacks nothing is well, and one of which nothing is known is failing") {
  CHECK(JudgeHealth(Well()).empty());
  CHECK(LevelOf({}) == HealthLevel::kGood);
  CHECK(LevelOf(JudgeHealth(HealthFacts())) == HealthLevel::kFailing);
}

TEST_CASE("health warns before anything ends") {
  HealthFacts facts = Well();
  SECTION("an SVID is late") { facts.svids.late = 1; }
  SECTION("minting fails for one that nobody had yet") {
    facts.svids.missing = 3;
    facts.svids.refused = 1;
  }
  SECTION("no room") { facts.svids.without_room = 2; }
  SECTION("the agent's own SVID is in its last quarter") { facts.node_not_after = kNow + 3min; }
  SECTION("the server is silent") { facts.unheard = 6min; }
  SECTION("the server was not heard since the start") { facts.unheard = std::nullopt; }
  SECTION("a part has a trouble of its own") { facts.other_problems = {"the disk is full"}; }
  const auto problems = JudgeHealth(facts);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].level == HealthLevel::kWarning);
  CHECK_FALSE(problems[0].text.empty());
}

TEST_CASE("health fails when something that should be served is not, and says so first") {
  HealthFacts facts = Well();
  facts.svids.late = 1;
  SECTION("an SVID expired unrenewed") { facts.svids.lost = 1; }
  SECTION("the agent's own SVID has expired") { facts.node_not_after = kNow; }
  SECTION("not attested") { facts.node_not_after = std::nullopt; }
  SECTION("closed") { facts.serving = false; }
  SECTION("no entries") { facts.synced = false; }
  const auto problems = JudgeHealth(facts);
  REQUIRE(problems.size() == 2);
  CHECK(LevelOf(problems) == HealthLevel::kFailing);
  CHECK(problems[0].level == HealthLevel::kFailing);
  CHECK(problems[1].level == HealthLevel::kWarning);
}

TEST_CASE("what is minted and not needed yet is no trouble") {
  HealthFacts facts = Well();
  facts.svids.missing = 3;  // being minted
  facts.svids.on_demand = 4;
  CHECK(JudgeHealth(facts).empty());
}
