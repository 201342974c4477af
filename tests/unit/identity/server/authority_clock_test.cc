// Clock steps, a suspended machine, and a start after everything has ended (F10, F11): what the
// authorities do, and that health says so before anything ends.
#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>

#include "ca/x509/path.h"
#include "identity/server/authority_health.h"
#include "identity/server/authority_keeper.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

struct World {
  test::FakeClock clock;
  OsRandom random;
  Metrics metrics;
  Logger log = Logger::Null();
  AuthoritySettings settings;
  ca::MemoryKeyStore keys;
  std::unique_ptr<test::FakeStore> store = std::make_unique<test::FakeStore>();
  std::unique_ptr<Registry> registry = Registry::Load(*store, kTrustDomain, clock, random).value();
  std::unique_ptr<AuthorityKeeper> keeper =
      AuthorityKeeper::Start(*store, *registry, keys, settings, clock, random, log, metrics)
          .value();

  std::vector<std::string> Problems(std::string_view type = kX509Authority) const {
    return AuthorityProblems(type, keeper->Slots(), clock.Now());
  }
  // One live agent that has acknowledged nothing, or everything.
  void SetAgentHolds(bool all) const {
    keeper->SetAcknowledgementSource([all](const std::string&, Revision) {
      Acknowledgement held{.all = all, .acknowledged = all ? 1U : 0U, .live = 1, .waiting_for = {}};
      if (!all) held.waiting_for = {"spiffe://example.org/spire/agent/join_token/a"};
      return held;
    });
  }
  // Whether what the active authority signs now is accepted now, and ends with it at the latest.
  bool SignsWell() {
    static const ca::PrivateKey key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
    const auto active = keeper->Active();
    const ca::LeafProfile profile{.uri_san = "spiffe://example.org/w",
                                  .dns_sans = {},
                                  .subject = {},
                                  .not_before = clock.Now() - seconds(10),
                                  .not_after = clock.Now() + hours(100)};
    const auto prepared = active->Prepare(key.public_key(), profile, random, clock.Now());
    if (!prepared) return false;
    const auto leaf = active->Sign(*prepared).value();
    return leaf.not_after() <= active->certificate().not_after() &&
           ca::BuildPath({&leaf, 1}, registry->OwnBundle()->X509Roots(), clock.Now()).has_value();
  }
};

bool Contains(const std::vector<std::string>& texts, std::string_view part) {
  return std::ranges::any_of(
      texts, [&](const std::string& text) { return text.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("a day's life without a fault has no problem at any minute") {
  World w;
  for (int minute = 0; minute < 3 * 24 * 60; minute += 7) {
    w.clock.Advance(minutes(7));
    REQUIRE(w.keeper->Tick());
    for (const std::string_view type : {kX509Authority, kJwtAuthority})
      CHECK(w.Problems(type).empty());
  }
}

TEST_CASE("a successor that waits for an agent is a named problem well before the authority ends") {
  World w;
  w.SetAgentHolds(false);
  const auto first = w.keeper->Active();
  std::optional<WallTime> said;
  while (!said && w.clock.Now() < first->certificate().not_after()) {
    w.clock.Advance(minutes(1));
    REQUIRE(w.keeper->Tick());
    if (!w.Problems().empty()) said = w.clock.Now();
  }
  REQUIRE(said);
  CHECK(first->certificate().not_after() - *said > hours(1));
  CHECK(Contains(w.Problems(), "waits for 1 of 1 agents, first spiffe://example.org/spire/agent"));
  CHECK(w.SignsWell());
  w.SetAgentHolds(true);
  REQUIRE(w.keeper->Tick());
  CHECK(w.Problems().empty());
}

TEST_CASE("a successor that cannot be made is a problem before the authority ends") {
  World w;
  w.clock.Advance(hours(22) + minutes(30));
  w.store->FailNextAppend({Code::kUnavailable, kStoreUnavailable, "no disk"});
  CHECK_FALSE(w.keeper->Tick());
  CHECK(Contains(w.Problems(), "no successor could be prepared"));
  REQUIRE(w.keeper->Tick());
  CHECK(w.SignsWell());
}

TEST_CASE("12 hours of suspend, and a day's step ahead, are healed by the next turn") {
  for (const auto gap : {hours(12), hours(23), hours(24), hours(24 * 30)}) {
    for (const bool is_step : {false, true}) {
      CAPTURE(gap.count(), is_step);
      World w;
      if (is_step) {
        w.clock.SetWall(w.clock.Now() + gap);
      } else {
        w.clock.Advance(gap);
      }
      REQUIRE(w.keeper->Tick());
      CHECK(w.SignsWell());
      CHECK(w.Problems().empty());
    }
  }
}

TEST_CASE(
    "authorities of a few seconds are prepared, taken into use and forced at the exact moment") {
  using std::chrono::milliseconds;
  test::FakeClock clock;
  OsRandom random;
  Metrics metrics;
  const Logger log = Logger::Null();
  AuthoritySettings settings;
  settings.ca_ttl = seconds(6);
  ca::MemoryKeyStore keys;
  test::FakeStore store;
  const auto registry = Registry::Load(store, kTrustDomain, clock, random).value();
  const auto keeper =
      AuthorityKeeper::Start(store, *registry, keys, settings, clock, random, log, metrics).value();
  const auto start = clock.Now();
  const auto first = keeper->Active();
  std::optional<WallTime> prepared;
  bool holds = false;
  keeper->SetAcknowledgementSource([&](const std::string&, Revision) {
    return Acknowledgement{.all = holds, .acknowledged = 0, .live = 1, .waiting_for = {"a"}};
  });
  const auto x509_slots = [&] {
    return std::ranges::count_if(keeper->Slots(),
                                 [](const auto& slot) { return slot.type == kX509Authority; });
  };
  while (keeper->Active() == first && clock.Now() < first->certificate().not_after()) {
    clock.Advance(milliseconds(10));
    REQUIRE(keeper->Tick());
    if (!prepared && x509_slots() == 2) prepared = clock.Now();
  }
  // At half of its life; and as nobody acknowledged, at its last moment, a twelfth before the end.
  REQUIRE(prepared);
  CHECK(*prepared - start == milliseconds(3010));
  CHECK(clock.Now() - start == milliseconds(5510));
  holds = true;
  const auto second = keeper->Active();
  while (keeper->Active() == second && clock.Now() < second->certificate().not_after()) {
    clock.Advance(milliseconds(10));
    REQUIRE(keeper->Tick());
  }
  // The second was made at 3.01 s and says 3 s: five sixths of six seconds later is 8 s.
  CHECK(clock.Now() - start == milliseconds(8010));
}

TEST_CASE("a day's step back is said at once, changes nothing, and is forgotten when mended") {
  World w;
  w.clock.Advance(hours(2));
  const auto before = w.keeper->Active();
  const auto slots = w.keeper->Slots().size();
  w.clock.SetWall(w.clock.Now() - hours(24));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active() == before);
  CHECK(w.keeper->Slots().size() == slots);
  CHECK(Contains(w.Problems(), "set the clock right"));
  w.clock.SetWall(w.clock.Now() + hours(24));
  REQUIRE(w.keeper->Tick());
  CHECK(w.Problems().empty());
  CHECK(w.SignsWell());
}

TEST_CASE("clocks that differ by five minutes either way are no problem") {
  for (const auto skew : {minutes(5), -minutes(5)}) {
    World w;
    w.clock.Advance(hours(1));
    w.clock.SetWall(w.clock.Now() + skew);
    REQUIRE(w.keeper->Tick());
    CHECK(w.Problems().empty());
    CHECK(w.SignsWell());
  }
}

}  // namespace signet::identity
