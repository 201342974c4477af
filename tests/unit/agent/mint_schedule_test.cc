#include "agent/cache/mint_schedule.h"

#include <catch2/catch.hpp>

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

}  // namespace

TEST_CASE("renewal falls between 45 and 55 hundredths of the life, drawn at random") {
  const WallTime start = FromUnixSeconds(1000), end = FromUnixSeconds(4600);
  FakeRandom lowest(0x00), highest(0x7f);  // 0.984
  CHECK(DrawRenewalTime(start, end, lowest) == end - 1620s);
  CHECK(DrawRenewalTime(start, end, highest) >= end - 1975s);
  CHECK(DrawRenewalTime(start, end, highest) < end - 1974s);
}

TEST_CASE("what is due as it arrives waits for half of what is left, and is not renewed at once") {
  FakeRandom lowest(0x00);
  const WallTime now = FromUnixSeconds(1000);
  CHECK(DrawRenewalOfNew(now - 10s, now + 4s, now, lowest) == now + 2s);
  CHECK(DrawRenewalOfNew(now, now + 100s, now, lowest) == now + 55s);
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
  MintSchedule schedule(clock, highest, {1s, 10s});
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

TEST_CASE("who is waited for comes first, then what is missing, then what expires soonest") {
  Fixture f;
  f.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"})});
  f.MintDue(4h, 1);
  f.MintDue(2h, 1);
  f.clock.Advance(3h);
  f.Hold({Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"}),
          Entry("c", "/c", {"unix:uid:1"}), Entry("d", "/d", {"unix:uid:1"})});
  f.schedule.Want({"d", "unknown"});
  CHECK(f.MintDue(1h, 1) == Ids{"d"});
  CHECK(f.MintDue(1h, 1) == Ids{"c"});
  CHECK(f.MintDue(1h) == Ids{"b", "a"});
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
