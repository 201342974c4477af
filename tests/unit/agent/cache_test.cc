#include "agent/cache/cache.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "agent/cache/interest.h"
#include "agent/cache/workload_view.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using signet::test::FakeClock;
using signet::test::SigningAuthority;

namespace {

std::vector<std::string> Ids(const std::vector<HeldEntry>& held) {
  std::vector<std::string> ids;
  for (const HeldEntry& one : held) ids.push_back(one.entry->id);
  return ids;
}

EntrySet SetOf(std::vector<AuthorizedEntry> entries) {
  std::vector<EntrySet::Change> changes;
  for (AuthorizedEntry& entry : entries) {
    auto made = std::make_shared<const AuthorizedEntry>(std::move(entry));
    changes.push_back({made->id, made});
  }
  return EntrySet().WithEntries(changes);
}

SvidPtr SvidOf(const Cache& cache, const std::string& id) {
  return cache.Current()->entries.Find(id)->svid;
}

const WallTime kNow = FromUnixSeconds(FakeClock::kDefaultUnixSeconds);

}  // namespace

TEST_CASE("an entry is granted only when all of its selectors are held") {
  const auto set = SetOf({Entry("1", "/uid", {"unix:uid:1001"}),
                          Entry("2", "/both", {"unix:uid:1001", "unix:gid:1001"}),
                          Entry("3", "/othergid", {"unix:uid:1001", "unix:gid:1002"}),
                          Entry("4", "/other", {"unix:uid:1002"})});
  CHECK(Ids(set.Match(Selectors({"unix:uid:1001", "unix:gid:1001", "unix:group:x"}), kNow)) ==
        std::vector<std::string>{"1", "2"});
  CHECK(set.Match(Selectors({"unix:gid:1001"}), kNow).empty());
  CHECK(set.Match({}, kNow).empty());
}

TEST_CASE("entries without selectors, expired ones and those of stores are granted to nobody") {
  auto expired = Entry("1", "/expired", {"unix:uid:1"});
  expired.expires_at = FakeClock::kDefaultUnixSeconds;
  auto stored = Entry("2", "/stored", {"unix:uid:1"});
  stored.store_svid = true;
  auto later = Entry("3", "/later", {"unix:uid:1"});
  later.expires_at = FakeClock::kDefaultUnixSeconds + 1;
  const auto set = SetOf({expired, stored, Entry("0", "/open", {}), later});
  CHECK(Ids(set.Match(Selectors({"unix:uid:1"}), kNow)) == std::vector<std::string>{"3"});
}

TEST_CASE("the digest of entries is the one the sync protocol defines") {
  // Reckoned apart from this code, with coreutils:
  //   printf '\0\0\0\1a\0\0\0\0\0\0\0\2\0\0\0\0\0\0\3\350' | sha256sum
  auto entry = Entry("a", "/a", {"unix:uid:1"});
  entry.revision_number = 2;
  entry.created_at = 1000;
  CHECK(EncodeHex(SetOf({entry}).digest()) ==
        "f4b78b060635941d0112785b22bf13b26d37a1caa323a9a8ca7cf10b78cc6659");
  CHECK(EncodeHex(SetOf({}).digest()) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a full revision replaces entries and bundles, a partial one changes what it names") {
  const SigningAuthority own("example.org", kNow), foreign("one.test", kNow);
  Cache cache(ExampleOrg());
  REQUIRE_FALSE(cache.Current()->synced);
  REQUIRE(cache.Apply(Full(5, {Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"})},
                           {own.bundle(), foreign.bundle()})));
  CHECK(cache.Current()->entries.size() == 2);
  REQUIRE(cache.Apply(Change(6, {Entry("c", "/c", {"unix:uid:1"})}, {"a", "unknown"})));
  CHECK_FALSE(cache.Current()->entries.Find("a"));
  CHECK(cache.Current()->entries.Find("b"));
  CHECK(cache.Current()->entries.Find("c"));
  CHECK(cache.Current()->FindBundle(foreign.trust_domain()));

  Delta gone = Change(7, {});
  gone.removed_bundles = {foreign.trust_domain(), ExampleOrg()};
  REQUIRE(cache.Apply(gone));
  CHECK_FALSE(cache.Current()->FindBundle(foreign.trust_domain()));
  CHECK(cache.Current()->FindBundle(ExampleOrg()));  // the own one never goes

  REQUIRE(cache.Apply(Full(8, {Entry("d", "/d", {"unix:uid:1"})}, {own.bundle()})));
  CHECK(cache.Current()->entries.size() == 1);
  CHECK(cache.Current()->revision == 8);
}

TEST_CASE("an own bundle without authorities never takes the place of one that has some") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  REQUIRE(cache.Apply(Full(1, {}, {own.bundle()})));
  identity::Bundle empty;
  empty.trust_domain = ExampleOrg();
  empty.sequence_number = 99;
  REQUIRE(cache.Apply(Full(2, {}, {empty})));
  CHECK(cache.Current()->FindBundle(ExampleOrg())->bundle == own.bundle());
  REQUIRE(cache.Apply(Full(3, {})));
  CHECK(cache.Current()->FindBundle(ExampleOrg())->bundle == own.bundle());
}

TEST_CASE("sets made step by step and sets made at once find, count and digest the same") {
  // Many entries under few selectors, changed in every way, against one made anew each time.
  std::mt19937 draw(1);
  const auto pick = [&](int bound) {
    return std::uniform_int_distribution<int>(0, bound - 1)(draw);
  };
  EntrySet stepwise;
  std::map<std::string, EntryPtr> model;
  for (int step = 0; step < 400; ++step) {
    std::vector<EntrySet::Change> changes;
    std::set<std::string> named;
    for (int i = pick(step < 20 ? 30 : 4); i >= 0; --i) {
      const std::string id = std::to_string(pick(300));
      if (!named.insert(id).second) continue;
      if (pick(3) == 0) {
        changes.push_back({id, nullptr});
        model.erase(id);
        continue;
      }
      auto entry = Entry(id, "/" + id, {});
      entry.revision_number = step;
      std::vector<std::string> selectors;
      for (int k = pick(4); k > 0; --k) selectors.push_back("unix:uid:" + std::to_string(pick(6)));
      entry.selectors = Selectors(selectors);
      const auto made = std::make_shared<const AuthorizedEntry>(std::move(entry));
      changes.push_back({id, made});
      model[id] = made;
    }
    const EntrySet before = stepwise;
    stepwise = stepwise.WithEntries(changes);

    std::set<std::string> told;
    EntrySet::Diff(before, stepwise, [&](const HeldEntry* old_one, const HeldEntry* new_one) {
      const bool differs =
          (old_one == nullptr) != (new_one == nullptr) || old_one->entry != new_one->entry;
      if (differs) told.insert((old_one ? old_one : new_one)->entry->id);
    });
    std::set<std::string> really;
    for (const auto& change : changes)
      if (change.entry || before.Find(change.id)) really.insert(change.id);
    REQUIRE(told == really);

    REQUIRE(stepwise.size() == model.size());
    std::vector<AuthorizedEntry> all;
    for (const auto& [id, entry] : model) all.push_back(*entry);
    const EntrySet at_once = SetOf(all);
    REQUIRE(stepwise.digest() == at_once.digest());
    const auto held = Selectors({"unix:uid:" + std::to_string(pick(6)), "unix:uid:1"});
    std::vector<std::string> expected;
    for (const auto& [id, entry] : model)
      if (!entry->selectors.empty() && identity::IsSubset(entry->selectors, held))
        expected.push_back(id);
    REQUIRE(Ids(stepwise.Match(held, kNow)) == expected);
    REQUIRE(Ids(at_once.Match(held, kNow)) == expected);
  }
}

TEST_CASE("only entries whose selectors are all held by an open stream are in use") {
  Interest interest;
  const EntrySet set =
      SetOf({Entry("1", "/1", {"unix:uid:1"}), Entry("2", "/2", {"unix:uid:1", "unix:gid:2"})});
  CHECK(interest.InUse(set, kNow).empty());
  {
    const auto first = interest.Add(Selectors({"unix:uid:1"}));
    const auto second = interest.Add(Selectors({"unix:uid:1"}));
    CHECK(interest.InUse(set, kNow) == std::unordered_set<std::string>{"1"});
    const auto both = interest.Add(Selectors({"unix:uid:1", "unix:gid:2"}));
    CHECK(interest.InUse(set, kNow).size() == 2);
  }
  CHECK(interest.InUse(set, kNow).empty());
}

TEST_CASE("revisions do not go back, except in full") {
  Cache cache(ExampleOrg());
  REQUIRE(cache.Apply(Full(5, {Entry("a", "/a", {"unix:uid:1"})})));
  for (const std::uint64_t revision : {4, 5}) {
    const auto refused = cache.Apply(Change(revision, {}, {"a"}));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().reason == kRevisionBackwards);
  }
  CHECK(cache.Current()->entries.Find("a"));
  CHECK(cache.Apply(Full(3, {})));
  CHECK(cache.Current()->revision == 3);
}

TEST_CASE("what changes nothing wakes nobody") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  int changes = 0;
  cache.Observe([&] { ++changes; });
  REQUIRE(cache.Apply(Full(0, {Entry("a", "/a", {"unix:uid:1"})}, {own.bundle()})));
  CHECK(changes == 1);
  REQUIRE(cache.Apply(Full(0, {Entry("a", "/a", {"unix:uid:1"})}, {own.bundle()})));
  CHECK(changes == 1);
  cache.DropExpired({"a", "unknown"}, kNow);
  cache.Drop({"a"});  // it has none
  cache.Install({});
  CHECK(changes == 1);
}

TEST_CASE("an SVID stays with its entry while the SPIFFE ID does") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  const auto entry = Entry("a", "/a", {"unix:uid:1"});
  REQUIRE(cache.Apply(Full(1, {entry}, {own.bundle()})));
  const SvidPtr svid = Svid(own, entry, kNow, kNow + std::chrono::hours(1));
  cache.Install({{"a", svid}, {"unknown", svid}});
  REQUIRE(SvidOf(cache, "a") == svid);

  auto renamed_hint = entry;
  renamed_hint.revision_number = 1;
  renamed_hint.hint = "x";
  REQUIRE(cache.Apply(Change(2, {renamed_hint, Entry("0", "/0", {"unix:uid:1"})})));
  CHECK(SvidOf(cache, "a") == svid);

  auto other_id = Entry("a", "/other", {"unix:uid:1"});
  other_id.revision_number = 2;
  REQUIRE(cache.Apply(Change(3, {other_id})));
  CHECK(SvidOf(cache, "a") == nullptr);
  cache.Install({{"a", svid}});  // minted for the entry as it was
  CHECK(SvidOf(cache, "a") == nullptr);
}

TEST_CASE("expired SVIDs are taken back") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  const auto entry = Entry("a", "/a", {"unix:uid:1"});
  REQUIRE(cache.Apply(Full(1, {entry}, {own.bundle()})));
  cache.Install({{"a", Svid(own, entry, kNow, kNow + std::chrono::seconds(20))}});
  cache.DropExpired({"a"}, kNow + std::chrono::seconds(19));
  CHECK(SvidOf(cache, "a"));
  cache.DropExpired({"a"}, kNow + std::chrono::seconds(20));
  CHECK_FALSE(SvidOf(cache, "a"));
}

TEST_CASE("erasing leaves nothing, not even the own bundle") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  REQUIRE(cache.Apply(Full(9, {Entry("a", "/a", {"unix:uid:1"})}, {own.bundle()})));
  cache.Erase();
  CHECK_FALSE(cache.Current()->synced);
  CHECK(cache.Current()->revision == 0);
  CHECK(cache.Current()->bundles.empty());
  CHECK(cache.Current()->entries.size() == 0);
}

TEST_CASE("a caller's view: not ready, denied, granted in order of entry id") {
  const SigningAuthority own("example.org", kNow), foreign("one.test", kNow);
  Cache cache(ExampleOrg());
  const auto held = Selectors({"unix:uid:1"});
  CHECK(ViewFor(*cache.Current(), held, kNow).state == WorkloadView::State::kNotReady);
  REQUIRE(cache.Apply(Full(1, {})));  // entries, but no bundle of our own
  CHECK(ViewFor(*cache.Current(), held, kNow).state == WorkloadView::State::kNotReady);
  auto second = Entry("b", "/b", {"unix:uid:1"});
  second.federates_with = {foreign.trust_domain(), *identity::TrustDomain::Parse("unknown.test")};
  const auto first = Entry("a", "/a", {"unix:uid:1"});
  REQUIRE(cache.Apply(Full(2, {second, first, Entry("0", "/other", {"unix:uid:2"})},
                           {own.bundle(), foreign.bundle()})));
  CHECK(ViewFor(*cache.Current(), Selectors({"unix:uid:3"}), kNow).state ==
        WorkloadView::State::kDenied);
  cache.Install({{"a", Svid(own, first, kNow, kNow + std::chrono::hours(1))}});
  const WorkloadView view = ViewFor(*cache.Current(), held, kNow);
  REQUIRE(view.state == WorkloadView::State::kGranted);
  REQUIRE(view.grants.size() == 2);
  CHECK(view.grants[0].entry->id == "a");
  CHECK(view.grants[0].svid);
  CHECK(view.Missing() == std::vector<std::string>{"b"});
  REQUIRE(view.federated.size() == 1);
  CHECK(view.federated[0]->bundle.trust_domain == foreign.trust_domain());
  CHECK(ViewFor(*cache.Current(), held, kNow + std::chrono::hours(1)).Missing().size() == 2);
}

TEST_CASE("of equal hints the older entry is granted, then the lower id; empty hints are none") {
  const SigningAuthority own("example.org", kNow);
  const auto hinted = [](const std::string& id, const std::string& hint, std::int64_t created_at) {
    auto entry = Entry(id, "/" + id, {"unix:uid:1"});
    entry.hint = hint;
    entry.created_at = created_at;
    return entry;
  };
  Cache cache(ExampleOrg());
  REQUIRE(cache.Apply(
      Full(1,
           {hinted("h9", "internal", 1), hinted("h1", "internal", 2), hinted("h2", "", 2),
            hinted("h3", "", 2), hinted("h5", "external", 2), hinted("h4", "external", 2)},
           {own.bundle()})));
  std::vector<std::string> ids;
  for (const Grant& grant : ViewFor(*cache.Current(), Selectors({"unix:uid:1"}), kNow).grants)
    ids.push_back(grant.entry->id);
  CHECK(ids == std::vector<std::string>{"h2", "h3", "h4", "h9"});
}
