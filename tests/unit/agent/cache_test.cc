#include "agent/cache/cache.h"

#include <catch2/catch.hpp>

#include "agent/cache/workload_view.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using signet::test::FakeClock;
using signet::test::SigningAuthority;

namespace {

std::vector<std::string> Ids(const EntrySet& set, const std::vector<std::size_t>& positions) {
  std::vector<std::string> ids;
  for (const std::size_t position : positions) ids.push_back(set.entries()[position]->id);
  return ids;
}

std::shared_ptr<const EntrySet> SetOf(std::vector<AuthorizedEntry> entries) {
  std::vector<EntryPtr> list;
  for (AuthorizedEntry& entry : entries)
    list.push_back(std::make_shared<const AuthorizedEntry>(std::move(entry)));
  return EntrySet::Create(std::move(list));
}

const WallTime kNow = FromUnixSeconds(FakeClock::kDefaultUnixSeconds);

}  // namespace

TEST_CASE("an entry is granted only when all of its selectors are held") {
  const auto set = SetOf({Entry("1", "/uid", {"unix:uid:1001"}),
                          Entry("2", "/both", {"unix:uid:1001", "unix:gid:1001"}),
                          Entry("3", "/othergid", {"unix:uid:1001", "unix:gid:1002"}),
                          Entry("4", "/other", {"unix:uid:1002"})});
  CHECK(Ids(*set, set->Match(Selectors({"unix:uid:1001", "unix:gid:1001", "unix:group:x"}),
                             kNow)) == std::vector<std::string>{"1", "2"});
  CHECK(set->Match(Selectors({"unix:gid:1001"}), kNow).empty());
  CHECK(set->Match({}, kNow).empty());
}

TEST_CASE("entries without selectors, expired ones and those of stores are granted to nobody") {
  auto expired = Entry("1", "/expired", {"unix:uid:1"});
  expired.expires_at = FakeClock::kDefaultUnixSeconds;
  auto stored = Entry("2", "/stored", {"unix:uid:1"});
  stored.store_svid = true;
  auto later = Entry("3", "/later", {"unix:uid:1"});
  later.expires_at = FakeClock::kDefaultUnixSeconds + 1;
  const auto set = SetOf({expired, stored, Entry("0", "/open", {}), later});
  CHECK(Ids(*set, set->Match(Selectors({"unix:uid:1"}), kNow)) == std::vector<std::string>{"3"});
}

TEST_CASE("the digest of entries is the one the sync protocol defines") {
  // Reckoned apart from this code, with coreutils:
  //   printf '\0\0\0\1a\0\0\0\0\0\0\0\2\0\0\0\0\0\0\3\350' | sha256sum
  auto entry = Entry("a", "/a", {"unix:uid:1"});
  entry.revision_number = 2;
  entry.created_at = 1000;
  CHECK(EncodeHex(SetOf({entry})->digest()) ==
        "f4b78b060635941d0112785b22bf13b26d37a1caa323a9a8ca7cf10b78cc6659");
  CHECK(EncodeHex(SetOf({})->digest()) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a full revision replaces entries and bundles, a partial one changes what it names") {
  const SigningAuthority own("example.org", kNow), foreign("one.test", kNow);
  Cache cache(ExampleOrg());
  REQUIRE_FALSE(cache.Current()->synced);
  REQUIRE(cache.Apply(Full(5, {Entry("a", "/a", {"unix:uid:1"}), Entry("b", "/b", {"unix:uid:1"})},
                           {own.bundle(), foreign.bundle()})));
  CHECK(cache.Current()->entries->size() == 2);
  REQUIRE(cache.Apply(Change(6, {Entry("c", "/c", {"unix:uid:1"})}, {"a", "unknown"})));
  CHECK_FALSE(cache.Current()->entries->Find("a"));
  CHECK(cache.Current()->entries->Find("b"));
  CHECK(cache.Current()->entries->Find("c"));
  CHECK(cache.Current()->FindBundle(foreign.trust_domain()));

  Delta gone = Change(7, {});
  gone.removed_bundles = {foreign.trust_domain(), ExampleOrg()};
  REQUIRE(cache.Apply(gone));
  CHECK_FALSE(cache.Current()->FindBundle(foreign.trust_domain()));
  CHECK(cache.Current()->FindBundle(ExampleOrg()));  // the own one never goes

  REQUIRE(cache.Apply(Full(8, {Entry("d", "/d", {"unix:uid:1"})}, {own.bundle()})));
  CHECK(cache.Current()->entries->size() == 1);
  CHECK(cache.Current()->revision == 8);
}

TEST_CASE("revisions do not go back, except in full") {
  Cache cache(ExampleOrg());
  REQUIRE(cache.Apply(Full(5, {Entry("a", "/a", {"unix:uid:1"})})));
  for (const std::uint64_t revision : {4, 5}) {
    const auto refused = cache.Apply(Change(revision, {}, {"a"}));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().reason == kRevisionBackwards);
  }
  CHECK(cache.Current()->entries->Find("a"));
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
  CHECK(cache.DropExpired(kNow) == 0);
  CHECK(changes == 1);
}

TEST_CASE("an SVID stays with its entry while the SPIFFE ID does") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  const auto entry = Entry("a", "/a", {"unix:uid:1"});
  REQUIRE(cache.Apply(Full(1, {entry}, {own.bundle()})));
  const SvidPtr svid = Svid(own, entry, kNow, kNow + std::chrono::hours(1));
  cache.Install({{"a", svid}, {"unknown", svid}});
  REQUIRE(cache.Current()->svids.at(0) == svid);

  auto renamed_hint = entry;
  renamed_hint.revision_number = 1;
  renamed_hint.hint = "x";
  REQUIRE(cache.Apply(Change(2, {renamed_hint, Entry("0", "/0", {"unix:uid:1"})})));
  CHECK(cache.Current()->svids.at(1) == svid);

  auto other_id = Entry("a", "/other", {"unix:uid:1"});
  other_id.revision_number = 2;
  REQUIRE(cache.Apply(Change(3, {other_id})));
  CHECK(cache.Current()->svids.at(1) == nullptr);
  cache.Install({{"a", svid}});  // minted for the entry as it was
  CHECK(cache.Current()->svids.at(1) == nullptr);
}

TEST_CASE("expired SVIDs are taken back") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  const auto entry = Entry("a", "/a", {"unix:uid:1"});
  REQUIRE(cache.Apply(Full(1, {entry}, {own.bundle()})));
  cache.Install({{"a", Svid(own, entry, kNow, kNow + std::chrono::seconds(20))}});
  CHECK(cache.DropExpired(kNow + std::chrono::seconds(19)) == 0);
  CHECK(cache.DropExpired(kNow + std::chrono::seconds(20)) == 1);
  CHECK(cache.Current()->svids.at(0) == nullptr);
}

TEST_CASE("erasing leaves nothing, not even the own bundle") {
  const SigningAuthority own("example.org", kNow);
  Cache cache(ExampleOrg());
  REQUIRE(cache.Apply(Full(9, {Entry("a", "/a", {"unix:uid:1"})}, {own.bundle()})));
  cache.Erase();
  CHECK_FALSE(cache.Current()->synced);
  CHECK(cache.Current()->revision == 0);
  CHECK(cache.Current()->bundles.empty());
  CHECK(cache.Current()->entries->size() == 0);
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
