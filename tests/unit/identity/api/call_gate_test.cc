#include "identity/api/call_gate.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"

namespace signet::identity {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Entry = CallGate::Entry;

Caller Agent(const std::string& name) {
  Caller caller;
  caller.kind = CallerKind::kCertificate;
  caller.id = SpiffeId::Parse("spiffe://example.org/spire/agent/x/" + name).value();
  caller.remote = "10.0.0.1:1000";
  return caller;
}

struct World {
  // How many calls in a row are let in.
  int Spend(const Caller& caller) {
    int count = 0;
    while (count < 10'000 && gate.Admit(caller) != Entry::kRefused) ++count;
    return count;
  }
  test::FakeClock clock;
  OsRandom random;
  CallGate gate{{.calls_per_second = 100, .burst = 200}, clock, random};
};

TEST_CASE("call gate: each identity has units of its own, and they come back") {
  World world;
  CHECK(world.Spend(Agent("hostile")) == 200);
  CHECK(world.Spend(Agent("other")) == 200);  // from the same address
  world.clock.Advance(milliseconds(500));
  CHECK(world.Spend(Agent("hostile")) == 50);
}

TEST_CASE("call gate: who made many calls of late takes turns") {
  World world;
  const Caller agent = Agent("a");
  for (int i = 0; i < 64; ++i) CHECK(world.gate.Admit(agent) == Entry::kAtOnce);
  CHECK(world.gate.Admit(agent) == Entry::kInTurn);
  world.clock.Advance(seconds(1));
  CHECK(world.gate.Admit(agent) == Entry::kAtOnce);
}

TEST_CASE("call gate: a large answer costs more than a call") {
  World world;
  const Caller agent = Agent("a");
  world.gate.Charge(agent, 150 * 64 * 1024);
  CHECK(world.Spend(agent) == 50);
  world.gate.Charge(agent, 100 * 64 * 1024);  // a debt
  world.clock.Advance(seconds(1));
  CHECK(world.Spend(agent) == 0);
  world.clock.Advance(seconds(1));
  CHECK(world.Spend(agent) == 100);
  world.gate.Charge(agent, 1000);  // in the price of the call
  world.clock.Advance(milliseconds(10));
  CHECK(world.Spend(agent) == 1);
}

TEST_CASE("call gate: the admin socket and who shows no SVID are not counted") {
  World world;
  Caller caller;
  for (const auto kind : {CallerKind::kLocal, CallerKind::kAnonymous}) {
    caller.kind = kind;
    CHECK(world.Spend(caller) == 10'000);
  }
  CallGate off({.calls_per_second = 0}, world.clock, world.random);
  for (int i = 0; i < 10'000; ++i) REQUIRE(off.Admit(Agent("a")) == Entry::kAtOnce);
}

TEST_CASE("call gate: only so many calls that claim to renew go ahead") {
  World world;
  int ahead = 0;
  for (int i = 0; i < 100; ++i) ahead += world.gate.TakeRenewal(Agent("a")) ? 1 : 0;
  CHECK(ahead == 20);
  CHECK(world.gate.TakeRenewal(Agent("b")));
  world.clock.Advance(seconds(1));
  CHECK(world.gate.TakeRenewal(Agent("a")));
  Caller nobody;
  nobody.kind = CallerKind::kAnonymous;
  CHECK_FALSE(world.gate.TakeRenewal(nobody));
}

TEST_CASE("call gate: pauses are drawn from a range that grows while the caller comes back early") {
  World world;
  const Caller agent = Agent("a");
  milliseconds most{0};
  for (int i = 0; i < 12; ++i) {
    const auto pause = world.gate.Refuse(agent).retry_after;
    CHECK(pause >= milliseconds(0));
    CHECK(pause <= std::min(milliseconds(500) * (1 << std::min(i, 10)), milliseconds(30'000)));
    most = std::max(most, pause);
  }
  CHECK(most > milliseconds(500));  // of twelve draws some are from the long ranges
  world.clock.Advance(seconds(31));
  for (int i = 0; i < 20; ++i) {
    world.clock.Advance(seconds(2));  // stays away for longer than it was asked
    CHECK(world.gate.Refuse(agent).retry_after <= milliseconds(500));
  }
}

TEST_CASE("call gate: who goes on after it was refused is held for a second at most") {
  World world;
  const Caller agent = Agent("a");
  for (int i = 0; i < 32; ++i) CHECK_FALSE(world.gate.Refuse(agent).hold_until);
  const auto now = world.clock.SteadyNow();
  for (int i = 0; i < 100; ++i) {
    const auto hold = world.gate.Refuse(agent).hold_until;
    REQUIRE(hold);
    CHECK(*hold >= now + milliseconds(100));
    CHECK(*hold <= now + seconds(1));
  }
  CHECK_FALSE(world.gate.Refuse(Agent("b")).hold_until);
  world.clock.Advance(seconds(1));
  CHECK_FALSE(world.gate.Refuse(agent).hold_until);
}

// Rows as the gate and the limiter keep them.
TEST_CASE("caller rows: those who are as good as new make room, those at work do not") {
  const SteadyTime start{};
  CallerRows<TokenBucket> rows(2048, [](SteadyTime now) { return TokenBucket(1, 1, now); });
  SteadyTime now = start + seconds(10);
  for (int i = 0; i < 2048; ++i) REQUIRE(rows.Find(std::to_string(i), now)->Take(1, now));
  CHECK(rows.Find("one more", now) == nullptr);
  CHECK(rows.Find("17", now) != nullptr);
  now += seconds(2);
  CHECK(rows.Find("one more", now) != nullptr);
  CHECK(rows.size() < 2048);
}

}  // namespace
}  // namespace signet::identity
