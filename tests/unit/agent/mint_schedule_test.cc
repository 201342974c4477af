#include "agent/cache/mint_schedule.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

#include "agent/cache/interest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using namespace std::chrono_literals;
using signet::test::FakeClock;
using signet::test::FakeRandom;
using signet::test::SigningAuthority;

namespace {

struct Fixture {
  FakeClock clock;
  OsRandom random;
  SigningAuthority authority{"example.org", clock.Now()};
  Cache cache{ExampleOrg()};
  MintSchedule schedule{clock, random};

  void Hold(std::vector<AuthorizedEntry> entries) {
    REQUIRE(cache.Apply(Full(++revision, std::move(entries), {authority.bundle()})));
    schedule.Update(*cache.Current());
  }
  // What is due, reported as minted with this lifetime.
  std::vector<std::string> MintDue(Duration lifetime, std::size_t limit = 500) {
    std::vector<std::string> ids;
    for (const EntryPtr& entry : schedule.TakeDue(limit)) {
      const SvidPtr svid = Svid(authority, *entry, clock.Now(), clock.Now() + lifetime);
      schedule.Succeeded(*entry, *svid);
      cache.Install({{entry->id, svid}});
      ids.push_back(entry->id);
    }
    return ids;
  }
  std::uint64_t revision = 0;
};

using Ids = std::vector<std::string>;

ca::Sha256Digest Fingerprint(std::uint8_t byte) {
  ca::Sha256Digest fingerprint;
  fingerprint.fill(byte);
  return fingerprint;
}

ca::Sha256Digest Middle() {
  ca::Sha256Digest fingerprint{};
  fingerprint[0] = 0x80;
  return fingerprint;
}

}  // namespace

TEST_CASE("renewal falls between 45 and 55 hundredths of the life, by the fingerprint") {
  const WallTime start = FromUnixSeconds(1000), end = FromUnixSeconds(4600);
  CHECK(RenewalTime(start, end, Fingerprint(0x00)) == end - 1620s);
  CHECK(RenewalTime(start, end, Middle()) == end - 1800s);
  CHECK(RenewalTime(start, end, Fingerprint(0xff)) >= end - 1980s);
  CHECK(RenewalTime(start, end, Fingerprint(0xff)) < end - 1979s);
}

TEST_CASE(
    "renewals of 10,000 SVIDs minted at one moment are spread evenly over a tenth of the life") {
  const WallTime start = FromUnixSeconds(0), end = FromUnixSeconds(3600);
  constexpr int kCount = 10'000, kBins = 36;  // of ten seconds each
  std::array<int, kBins> bins{};
  for (int i = 0; i < kCount; ++i) {
    const std::string serial = std::to_string(i);
    const auto due = RenewalTime(start, end, ca::Sha256(AsBytes(serial)));
    const auto after = std::chrono::duration_cast<std::chrono::seconds>(due - start) - 1620s;
    REQUIRE(after >= 0s);
    REQUIRE(after < 360s);
    ++bins.at(static_cast<std::size_t>(after.count() / 10));
  }
  double chi_square = 0;
  const double expected = static_cast<double>(kCount) / kBins;
  std::string shown;
  for (const int count : bins) {
    chi_square += (count - expected) * (count - expected) / expected;
    shown += std::to_string(count) + " ";
  }
  INFO("renewals in each ten seconds, from 27 min on: " << shown);
  CHECK(chi_square < 66.6);                      // 35 degrees of freedom: once in a thousand
  CHECK(*std::ranges::max_element(bins) < 350);  // 35 a second at most, not 10,000
}

TEST_CASE("what is due as it arrives waits for half of what is left, and is not renewed at once") {
  const WallTime now = FromUnixSeconds(1000);
  CHECK(RenewalOfNew(now - 10s, now + 4s, now, Fingerprint(0x00)) == now + 2200ms);
  CHECK(RenewalOfNew(now, now + 100s, now, Fingerprint(0x00)) == now + 55s);
}

TEST_CASE("pauses after failures are drawn from zero up to a bound that doubles and ends") {
  FakeRandom highest(0x7f), lowest(0x00);
  const BackoffPolicy policy{250ms, 30s};
  CHECK(DrawBackoff(0, policy, lowest) == Duration::zero());
  CHECK(DrawBackoff(9, policy, lowest) == Duration::zero());
  CHECK(DrawBackoff(0, policy, highest) <= 250ms);
  CHECK(DrawBackoff(0, policy, highest) > 246ms);
  CHECK(DrawBackoff(3, policy, highest) > 1968ms);
  CHECK(DrawBackoff(3, policy, highest) <= 2s);
  CHECK(DrawBackoff(1000, policy, highest) <= 30s);
  CHECK(DrawBackoff(1000, policy, highest) > 29s);
}

TEST_CASE(
    "agents that lost their server at one moment come back one by one, within half a minute") {
  OsRandom random;
  std::array<int, 30> seconds{};
  for (int agent = 0; agent < 3000; ++agent) {
    const Duration pause = DrawBackoff(1000, {}, random);  // after a long outage
    ++seconds.at(static_cast<std::size_t>(pause / 1s));
  }
  for (const int count : seconds) CHECK(count < 200);  // 100 on average
}

TEST_CASE("new entries are due at once, and not again before half of the life") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"})});
  REQUIRE(f.schedule.UntilNextDue() == Duration::zero());
  CHECK(f.MintDue(1h) == Ids{"a"});
  CHECK(f.MintDue(1h).empty());
  f.clock.Advance(26min);
  CHECK(f.MintDue(1h).empty());
  REQUIRE(f.schedule.UntilNextDue());
  CHECK(*f.schedule.UntilNextDue() <= 7min);
  f.clock.Advance(7min);
  CHECK(f.MintDue(1h) == Ids{"a"});
}

TEST_CASE("the jitter is drawn once per SVID, not at each look") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"})});
  f.MintDue(1h);
  const auto planned = f.schedule.UntilNextDue();
  for (int i = 0; i < 100; ++i) CHECK(f.schedule.UntilNextDue() == planned);
}

TEST_CASE("what is being minted is not taken twice") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"})});
  CHECK(f.schedule.TakeDue(500).size() == 1);
  CHECK(f.schedule.TakeDue(500).empty());
  CHECK_FALSE(f.schedule.UntilNextDue());
}

TEST_CASE("failures wait longer each time, each identity for itself, until the server is back") {
  FakeClock clock;
  FakeRandom highest(0x7f);
  MintSchedule schedule(clock, highest, {{1s, 10s}});
  Cache cache(ExampleOrg());
  REQUIRE(
      cache.Apply(Full(1, {Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"})})));
  schedule.Update(*cache.Current());
  REQUIRE(schedule.TakeDue(1).front()->id == "a");
  schedule.Failed("a");
  CHECK(schedule.TakeDue(500).front()->id == "b");  // not held up by a
  CHECK(schedule.TakeDue(500).empty());
  clock.Advance(1s);
  REQUIRE(schedule.TakeDue(500).size() == 1);
  schedule.Failed("a");
  clock.Advance(1900ms);
  CHECK(schedule.TakeDue(500).empty());
  schedule.ForgiveFailures();
  CHECK(schedule.TakeDue(500).size() == 1);
}

TEST_CASE("who is waited for comes first, then what expires soonest, then what is missing") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"})});
  f.MintDue(4h, 1);
  f.MintDue(3h, 1);
  f.clock.Advance(160min);  // both are due, neither has ended
  f.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"}),
          Entry("c", "/c", {"unix:uid:1"}), Entry("d", "/d", {"unix:uid:1"})});
  f.schedule.Want({"d", "unknown"});
  CHECK(f.MintDue(1h, 1) == Ids{"d"});
  CHECK(f.MintDue(1h, 1) == Ids{"b"});
  CHECK(f.MintDue(1h) == Ids{"a", "c"});
}

TEST_CASE("one lane takes only what somebody waits for") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"})});
  CHECK(f.schedule.TakeDue(500, MintSchedule::Lane::kWaiting).empty());
  CHECK_FALSE(f.schedule.UntilNextDue(MintSchedule::Lane::kWaiting));
  f.schedule.Want({"b"});
  CHECK(f.schedule.UntilNextDue(MintSchedule::Lane::kWaiting) == Duration::zero());
  const auto taken = f.schedule.TakeDue(500, MintSchedule::Lane::kWaiting);
  REQUIRE(taken.size() == 1);
  CHECK(taken.front()->id == "b");
}

TEST_CASE("SVIDs that have ended are told once, and are due anew") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"})});
  f.MintDue(1h);
  CHECK(f.schedule.TakeExpired().empty());
  f.clock.Advance(1h);
  CHECK(f.schedule.TakeExpired().size() == 2);
  CHECK(f.schedule.TakeExpired().empty());
  CHECK(f.schedule.held() == 0);
  CHECK(f.MintDue(1h).size() == 2);
}

// The bound, with 8,000 entries that one selector is shared by: what counts is what is used.
TEST_CASE("no more SVIDs are held than the bound, though one selector matches 8,000 entries") {
  FakeClock clock;
  OsRandom random;
  SigningAuthority authority("example.org", clock.Now());
  Cache cache(ExampleOrg());
  Interest interest;
  MintSchedule schedule(clock, random, {{}, 1000}, [&](const EntrySet& entries) {
    return interest.InUse(entries, clock.Now());
  });
  std::vector<AuthorizedEntry> entries;
  for (int i = 0; i < 8000; ++i)
    entries.push_back(
        Entry("e" + std::to_string(i), "/e", {"unix:uid:1", "unix:gid:" + std::to_string(i)}));
  REQUIRE(cache.Apply(Full(1, entries, {authority.bundle()})));
  const SvidPtr one = Svid(authority, entries[0], clock.Now(), clock.Now() + 1h);
  const auto mint = [&](std::size_t limit) {
    Ids ids;
    SvidList fresh;
    schedule.Update(*cache.Current());
    for (const EntryPtr& entry : schedule.TakeDue(limit)) {
      schedule.Succeeded(*entry, *one);
      fresh.emplace_back(entry->id, one);
      ids.push_back(entry->id);
    }
    cache.Drop(schedule.TakeGivenUp());
    cache.Install(fresh);
    return ids;
  };
  const auto really_held = [&] {
    std::size_t count = 0;
    cache.Current()->entries.ForEach([&](const HeldEntry& held) { count += held.svid ? 1 : 0; });
    return count;
  };
  std::size_t minted = 0;
  for (std::size_t now = 1; now > 0; minted += now) now = mint(500).size();
  CHECK(minted == 1000);
  CHECK(really_held() == 1000);
  CHECK(schedule.without_room() == 7000);
  CHECK_FALSE(schedule.UntilNextDue() == Duration::zero());  // nobody turns in circles

  // A workload comes for one of those left out: another one, that nobody uses, goes.
  const auto stream = interest.Add(Selectors({"unix:uid:1", "unix:gid:7999"}));
  const std::string wanted = cache.Current()->entries.Find("e7999")->svid ? "e7998" : "e7999";
  schedule.Want({wanted});
  CHECK(mint(500) == Ids{wanted});
  CHECK(really_held() == 1000);
  CHECK(schedule.held() == 1000);
  CHECK(schedule.refused() == 0);

  // Callers use all there is room for: one more waits, is counted, and others keep theirs.
  std::vector<Interest::Handle> streams;
  Ids in_use;
  cache.Current()->entries.ForEach([&](const HeldEntry& held) {
    if (!held.svid) return;
    streams.push_back(interest.Add(held.entry->selectors));
    in_use.push_back(held.entry->id);
  });
  const std::string late = cache.Current()->entries.Find("e5000")->svid ? "e5001" : "e5000";
  schedule.Want({late});
  CHECK(mint(500).empty());
  CHECK(schedule.refused() == 1);
  for (const std::string& id : in_use) REQUIRE(cache.Current()->entries.Find(id)->svid);
  streams.clear();  // they leave
  clock.Advance(5s);
  CHECK(mint(500) == Ids{late});
  CHECK(really_held() == 1000);
  // Room that is left is used again.
  REQUIRE(cache.Apply(Change(2, {}, {late})));
  CHECK(mint(500).size() == 1);
  CHECK(really_held() == 1000);
}

TEST_CASE("an entry that is not prefetched is minted once somebody waits for it") {
  Fixture f;
  auto lazy = Entry("a", "/a", {"unix:uid:1"});
  lazy.disable_x509_svid_prefetch = true;
  f.Hold({lazy});
  CHECK(f.MintDue(1h).empty());
  CHECK_FALSE(f.schedule.UntilNextDue());
  f.schedule.Want({"a"});
  CHECK(f.MintDue(1h) == Ids{"a"});
}

TEST_CASE("entries of stores and expired ones are not minted") {
  Fixture f;
  auto stored = Entry("a", "/a", {"unix:uid:1"});
  stored.store_svid = true;
  auto expired = Entry("b", "/b", {"unix:uid:1"});
  expired.expires_at = UnixSeconds(f.clock.Now());
  f.Hold({stored, expired});
  CHECK(f.MintDue(1h).empty());
}

TEST_CASE("any change of an entry makes its SVID due") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"})});
  f.MintDue(1h);
  auto changed = Entry("a", "/a", {"unix:uid:1"});
  changed.revision_number = 1;
  changed.hint = "new";
  f.Hold({changed});
  CHECK(f.MintDue(1h) == Ids{"a"});
  CHECK(f.MintDue(1h).empty());
  auto anew = changed;
  anew.created_at += 1;  // deleted, and made again under its id
  f.Hold({anew});
  CHECK(f.MintDue(1h) == Ids{"a"});
}

TEST_CASE("an SVID that was minted for an older version of the entry leaves it due") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"})});
  const EntryPtr taken = f.schedule.TakeDue(500).front();
  auto changed = Entry("a", "/a", {"unix:uid:1"});
  changed.revision_number = 1;
  f.Hold({changed});
  f.schedule.Succeeded(*taken, *Svid(f.authority, *taken, f.clock.Now(), f.clock.Now() + 1h));
  CHECK(f.schedule.TakeDue(500).size() == 1);
}

TEST_CASE("removed entries are forgotten, results for them ignored") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"})});
  const EntryPtr taken = f.schedule.TakeDue(500).front();
  f.Hold({});
  CHECK(f.schedule.size() == 0);
  f.schedule.Succeeded(*taken, *Svid(f.authority, *taken, f.clock.Now(), f.clock.Now() + 1h));
  f.schedule.Failed("a");
  CHECK(f.schedule.size() == 0);
}

TEST_CASE(
    "SVIDs kept from before a restart are taken on; those of an older entry version are due") {
  Fixture f;
  const auto kept = Entry("a", "/a", {"unix:uid:1"});
  auto changed = Entry("b", "/b", {"unix:uid:1"});
  const SvidPtr outdated = Svid(f.authority, changed, f.clock.Now(), f.clock.Now() + 1h);
  changed.revision_number = 1;
  f.cache.Restore(
      Full(7, {kept, changed}, {f.authority.bundle()}),
      {{"a", Svid(f.authority, kept, f.clock.Now(), f.clock.Now() + 1h)}, {"b", outdated}});
  f.schedule.Update(*f.cache.Current());
  CHECK(f.MintDue(1h) == Ids{"b"});
}

TEST_CASE("SVIDs of an authority that is tainted or no longer trusted are due") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"})});
  f.MintDue(1h);
  const Bytes key_id = f.authority.root().subject_key_id();
  f.schedule.Distrust({}, {key_id});
  CHECK(f.MintDue(1h).empty());
  f.schedule.Distrust({key_id}, {});
  CHECK(f.MintDue(1h) == Ids{"a"});
  f.schedule.Distrust({}, {Bytes{1, 2, 3}});
  CHECK(f.MintDue(1h) == Ids{"a"});
}

TEST_CASE("SVIDs are counted by how they stand: late before they end, lost afterwards") {
  Fixture fixture;
  AuthorizedEntry lazy = Entry("lazy", "/lazy", {"unix:uid:3"});
  lazy.disable_x509_svid_prefetch = true;
  fixture.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:2"}), lazy});
  CHECK(fixture.schedule.Count().missing == 2);
  CHECK(fixture.schedule.Count().on_demand == 1);
  CHECK_FALSE(fixture.schedule.Count().soonest_end);
  fixture.MintDue(1h);
  CHECK(fixture.schedule.Count().fresh == 2);
  CHECK(fixture.schedule.Count().soonest_end == fixture.clock.Now() + 1h);

  fixture.clock.Advance(44min);  // renewal was due between 27 and 33 minutes
  for (const EntryPtr& entry : fixture.schedule.TakeDue(10)) fixture.schedule.Failed(entry->id);
  CHECK(fixture.schedule.Count().fresh + fixture.schedule.Count().late == 2);
  fixture.clock.Advance(3min);
  CHECK(fixture.schedule.Count().late == 2);
  const auto late = fixture.schedule.Standings(10);
  REQUIRE(late.size() == 2);
  CHECK(late[0].state == SvidState::kLate);
  CHECK(late[0].failures == 1);
  CHECK(late[0].not_after == fixture.clock.Now() + 13min);
  CHECK(fixture.schedule.Standings(1).size() == 1);

  fixture.clock.Advance(14min);
  CHECK(fixture.schedule.TakeExpired().size() == 2);
  CHECK(fixture.schedule.Count().lost == 2);
  CHECK(fixture.schedule.Standings(10)[1].state == SvidState::kLost);
  fixture.schedule.ForgiveFailures();
  CHECK(fixture.MintDue(1h).size() == 2);
  CHECK(fixture.schedule.Count().lost == 0);
  CHECK(fixture.schedule.Count().fresh == 2);
}

TEST_CASE("an entry whose minting failed is told apart from one that is being minted") {
  Fixture fixture;
  fixture.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:2"})});
  fixture.schedule.Failed(fixture.schedule.TakeDue(1).at(0)->id);
  CHECK(fixture.schedule.Count().missing == 2);
  CHECK(fixture.schedule.Count().refused == 1);
}
