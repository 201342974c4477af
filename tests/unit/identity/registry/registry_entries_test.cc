#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "identity/registry/page_token.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Domain;
using test::Id;
using test::MakeEntry;
using test::MakeFullEntry;

constexpr EntryMask kNothing{.spiffe_id = false,
                             .parent_id = false,
                             .selectors = false,
                             .x509_svid_ttl = false,
                             .federates_with = false,
                             .admin = false,
                             .downstream = false,
                             .expires_at = false,
                             .dns_names = false,
                             .revision_number = false,
                             .store_svid = false,
                             .jwt_svid_ttl = false,
                             .hint = false,
                             .created_at = false,
                             .additional_attributes = false};

// Federated bundles come by other ways than the registry's; here straight into the store.
void Federate(RegistryFixture& fixture, std::initializer_list<const char*> names) {
  REQUIRE(fixture.store->Commit([&](Transaction& transaction) -> Status {
    for (const char* name : names) {
      Bundle bundle;
      bundle.trust_domain = Domain(name);
      SIGNET_RETURN_IF_ERROR(transaction.bundles().Put(bundle));
    }
    return {};
  }));
  fixture.Restart();
}

void CheckFailed(const EntryOutcome& outcome, Code code, Reason reason) {
  REQUIRE(!outcome.status);
  CHECK(outcome.status.error().code == code);
  CHECK(outcome.status.error().reason == reason);
}

}  // namespace

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: a created entry gets an id, a time and revision 0, and survives a restart") {
  Entry wanted = MakeEntry(1);
  wanted.id.clear();
  wanted.revision_number = 77;
  wanted.created_at = 1000;
  const Revision before = registry->revision();
  const EntryPtr made = Create(wanted);
  CHECK(made->id.size() == 36);
  CHECK(made->revision_number == 0);
  CHECK(made->created_at == test::FakeClock::kDefaultUnixSeconds);
  CHECK(registry->revision() == before + 1);
  CHECK(registry->FindEntry(made->id) == made);
  CHECK(registry->FindEntry("none") == nullptr);
  Restart();
  REQUIRE(registry->FindEntry(made->id) != nullptr);
  CHECK(*registry->FindEntry(made->id) == *made);
  CHECK(registry->revision() == before + 1);
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: a similar entry is answered with the one that is there") {
  Entry first = MakeEntry(1);
  first.selectors = {{"unix", "uid:1"}, {"unix", "gid:2"}};
  first.hint = "first";
  const EntryPtr made = Create(first);
  Entry second = first;
  second.id = "second";
  second.hint = "second";
  std::reverse(second.selectors.begin(), second.selectors.end());
  auto outcomes = registry->CreateEntries({second});
  CheckFailed(outcomes[0], Code::kAlreadyExists, kEntryExists);
  CHECK(outcomes[0].entry == made);
  // Also when the repeated selector makes it similar.
  second.selectors.push_back({"unix", "uid:1"});
  outcomes = registry->CreateEntries({second});
  CheckFailed(outcomes[0], Code::kAlreadyExists, kEntryExists);
  CHECK(outcomes[0].entry == made);
  // Another parent, another ID, fewer or more selectors: another entry.
  Entry other = second;
  other.id = "a";
  other.selectors = {{"unix", "uid:1"}};
  Create(other);
  other.id = "b";
  other.parent_id = Id("/parent2");
  Create(other);
  other.id = "c";
  other.spiffe_id = Id("/w2");
  Create(other);
  CHECK(registry->CountEntries({}) == 4);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: a taken id, a repeated selector or DNS name exist already, without an entry") {
  Create(MakeEntry(1));
  Entry entry = MakeEntry(2);
  entry.id = "entry-1";
  auto outcomes = registry->CreateEntries({entry});
  CheckFailed(outcomes[0], Code::kAlreadyExists, kEntryExists);
  CHECK(outcomes[0].entry == nullptr);
  entry = MakeEntry(2);
  entry.selectors = {{"unix", "uid:1"}, {"unix", "uid:1"}};
  outcomes = registry->CreateEntries({entry});
  CheckFailed(outcomes[0], Code::kAlreadyExists, kEntryExists);
  CHECK(outcomes[0].entry == nullptr);
  entry = MakeEntry(2);
  entry.dns_names = {"b.example", "a.example", "b.example"};
  outcomes = registry->CreateEntries({entry});
  CheckFailed(outcomes[0], Code::kAlreadyExists, kEntryExists);
  CHECK(outcomes[0].entry == nullptr);
  CHECK(registry->CountEntries({}) == 1);
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: a batch answers in order, each element alone, and is one commit") {
  const std::size_t commits = store->commits();
  Entry bad = MakeEntry(2);
  bad.selectors.clear();
  Entry twin = MakeEntry(1);
  twin.id = "twin";
  Entry same_id = MakeEntry(9);
  same_id.id = "entry-1";
  const auto outcomes = registry->CreateEntries({MakeEntry(1), bad, twin, same_id, MakeEntry(3)});
  REQUIRE(outcomes.size() == 5);
  CHECK(outcomes[0].status);
  CheckFailed(outcomes[1], Code::kInvalidArgument, kEntryInvalid);
  CheckFailed(outcomes[2], Code::kAlreadyExists, kEntryExists);
  CHECK(outcomes[2].entry == outcomes[0].entry);
  CheckFailed(outcomes[3], Code::kAlreadyExists, kEntryExists);
  CHECK(outcomes[3].entry == nullptr);
  CHECK(outcomes[4].status);
  CHECK(store->commits() == commits + 1);

  std::vector<Entry> many;
  for (int i = 100; i < 600; ++i) many.push_back(MakeEntry(i));
  for (const EntryOutcome& outcome : registry->CreateEntries(many)) CHECK(outcome.status);
  CHECK(store->commits() == commits + 2);
  CHECK(registry->CountEntries({}) == 502);
  // Nothing accepted, nothing committed.
  CHECK(registry->CreateEntries({}).empty());
  registry->CreateEntries({bad});
  CHECK(store->commits() == commits + 2);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: when the commit fails, memory and observers know nothing of the batch") {
  Create(MakeEntry(1));
  const Revision before = registry->revision();
  int heard = 0;
  registry->AddObserver([&](const Change&) { ++heard; });
  Entry twin = MakeEntry(2);
  twin.id = "twin";
  Entry bad = MakeEntry(3);
  bad.selectors.clear();
  Entry existing = MakeEntry(1);
  existing.id = "other";
  store->FailNextCommit({Code::kResourceExhausted, kStoreFull, "no room"});
  const auto outcomes = registry->CreateEntries({MakeEntry(2), twin, bad, existing});
  CheckFailed(outcomes[0], Code::kResourceExhausted, kStoreFull);
  CheckFailed(outcomes[1], Code::kResourceExhausted, kStoreFull);
  CHECK(outcomes[1].entry == nullptr);
  CheckFailed(outcomes[2], Code::kInvalidArgument, kEntryInvalid);
  CheckFailed(outcomes[3], Code::kAlreadyExists, kEntryExists);
  CHECK(registry->FindEntry("entry-2") == nullptr);
  CHECK(registry->revision() == before);
  CHECK(heard == 0);

  store->FailNextCommit({Code::kUnavailable, kStoreUnavailable, ""});
  const auto deleted = registry->DeleteEntries(std::vector<std::string>{"entry-1", "none"});
  CHECK(deleted[0].error().reason == kStoreUnavailable);
  CHECK(deleted[1].error().reason == kEntryNotFound);
  CHECK(registry->FindEntry("entry-1") != nullptr);
  Create(MakeEntry(2));
  CHECK(registry->revision() == before + 1);
  CHECK(heard == 1);
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: entries federate with known trust domains and with the own one") {
  Federate(*this, {"one.test", "two.test"});
  CHECK(registry->FederatedBundles().size() == 2);
  Entry entry = MakeEntry(1);
  entry.federates_with = {Domain("two.test"), Domain("one.test"), Domain("two.test"), Domain()};
  const EntryPtr made = Create(entry);
  CHECK(made->federates_with ==
        std::vector<TrustDomain>{Domain(), Domain("one.test"), Domain("two.test")});
  entry = MakeEntry(2);
  entry.federates_with = {Domain("one.test"), Domain("three.test")};
  auto outcomes = registry->CreateEntries({entry});
  CheckFailed(outcomes[0], Code::kInternal, kFederatedBundleUnknown);
  CHECK(outcomes[0].status.error().detail.find("spiffe://three.test") != std::string::npos);
  EntryUpdate update{MakeEntry(1), kNothing};
  update.mask.federates_with = true;
  update.entry.federates_with = {Domain("three.test")};
  outcomes = registry->UpdateEntries({update});
  CheckFailed(outcomes[0], Code::kInternal, kFederatedBundleUnknown);
}

TEST_CASE_METHOD(RegistryFixture, "registry: an update takes the fields of its mask and no other") {
  Federate(*this, {"one.test", "two.test", "three.test"});
  const EntryPtr original = Create([] {
    Entry entry = MakeFullEntry(1);
    entry.store_svid = false;
    return entry;
  }());
  Entry wanted = MakeEntry(1);
  wanted.spiffe_id = Id("/u");
  wanted.parent_id = Id("/up");
  wanted.selectors = {{"z", "2"}, {"z", "1"}};
  wanted.x509_svid_ttl = 77;
  wanted.jwt_svid_ttl = 78;
  wanted.federates_with = {Domain("three.test")};
  wanted.expires_at = 5;
  wanted.dns_names = {"new.example.org"};
  wanted.revision_number = 99;
  wanted.created_at = 98;
  wanted.store_svid = true;
  wanted.hint = "external";
  std::int64_t revision = 0;
  Entry expected = *original;
  const auto apply = [&](bool EntryMask::* field, const auto& change) {
    EntryUpdate update{wanted, kNothing};
    if (field != nullptr) update.mask.*field = true;
    change(expected);
    expected.revision_number = ++revision;
    const auto outcomes = registry->UpdateEntries({update});
    REQUIRE(outcomes[0].status);
    CHECK(*outcomes[0].entry == expected);
    CHECK(*registry->FindEntry("entry-1") == expected);
  };
  apply(nullptr, [](Entry&) {});
  apply(&EntryMask::revision_number, [](Entry&) {});
  apply(&EntryMask::created_at, [](Entry&) {});
  apply(&EntryMask::spiffe_id, [&](Entry& e) { e.spiffe_id = wanted.spiffe_id; });
  apply(&EntryMask::parent_id, [&](Entry& e) { e.parent_id = wanted.parent_id; });
  apply(&EntryMask::selectors, [&](Entry& e) { e.selectors = {{"z", "1"}, {"z", "2"}}; });
  apply(&EntryMask::x509_svid_ttl, [&](Entry& e) { e.x509_svid_ttl = 77; });
  apply(&EntryMask::jwt_svid_ttl, [&](Entry& e) { e.jwt_svid_ttl = 78; });
  apply(&EntryMask::federates_with, [&](Entry& e) { e.federates_with = wanted.federates_with; });
  apply(&EntryMask::admin, [&](Entry& e) { e.admin = false; });
  apply(&EntryMask::downstream, [&](Entry& e) { e.downstream = false; });
  apply(&EntryMask::expires_at, [&](Entry& e) { e.expires_at = 5; });
  apply(&EntryMask::dns_names, [&](Entry& e) { e.dns_names = wanted.dns_names; });
  apply(&EntryMask::hint, [&](Entry& e) { e.hint = "external"; });
  apply(&EntryMask::store_svid, [&](Entry& e) { e.store_svid = true; });
  apply(&EntryMask::additional_attributes, [&](Entry& e) {
    e.disable_x509_svid_prefetch = false;
    e.jwt_svid_include_jti = false;
  });
  Restart();
  CHECK(*registry->FindEntry("entry-1") == expected);
  CHECK(expected.created_at == original->created_at);
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: a full update replaces everything but id, creation and count") {
  Create([] {
    Entry entry = MakeFullEntry(1);
    entry.store_svid = false;
    entry.federates_with.clear();
    return entry;
  }());
  clock.Advance(std::chrono::hours(1));
  Entry wanted = MakeEntry(5);
  wanted.id = "entry-1";
  auto outcomes = registry->UpdateEntries({{wanted, EntryMask{}}, {wanted, EntryMask{}}});
  REQUIRE(outcomes[0].status);
  REQUIRE(outcomes[1].status);
  wanted.created_at = test::FakeClock::kDefaultUnixSeconds;
  wanted.revision_number = 1;
  CHECK(*outcomes[0].entry == wanted);
  wanted.revision_number = 2;
  CHECK(*outcomes[1].entry == wanted);
  CHECK(*registry->FindEntry("entry-1") == wanted);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: updates are refused as SPIRE refuses them, and may make two entries equal") {
  Create(MakeEntry(1));
  Create(MakeEntry(2));
  const auto update = [&](const Entry& entry, EntryMask mask) {
    return registry->UpdateEntries({{entry, mask}})[0];
  };
  Entry nobody = MakeEntry(3);
  CheckFailed(update(nobody, {}), Code::kNotFound, kEntryNotFound);
  nobody.selectors.clear();
  CheckFailed(update(nobody, {}), Code::kInvalidArgument, kEntryInvalid);
  Entry empty;
  empty.id = "entry-1";
  CheckFailed(update(empty, {}), Code::kInvalidArgument, kEntryInvalid);
  Entry repeats = MakeEntry(1);
  repeats.dns_names = {"a", "a"};
  CheckFailed(update(repeats, {}), Code::kAlreadyExists, kEntryExists);
  // Two selector types under store_svid: looked at when the update brings selectors.
  EntryMask selectors = kNothing;
  selectors.selectors = true;
  EntryMask store_svid = kNothing;
  store_svid.store_svid = true;
  Entry wanted = MakeEntry(1);
  wanted.selectors = {{"a", "1"}, {"b", "1"}};
  wanted.store_svid = true;
  CHECK(update(wanted, selectors).status);
  CHECK(update(wanted, store_svid).status);
  CheckFailed(update(wanted, selectors), Code::kInvalidArgument, kEntryInvalid);

  Entry equal = MakeEntry(1);
  equal.id = "entry-2";
  CHECK(update(equal, {}).status);
  CHECK(update(MakeEntry(1), {}).status);
  CHECK(registry->CountEntries({}) == 2);
  const auto similar = registry->CreateEntries({[] {
    Entry entry = MakeEntry(1);
    entry.id = "third";
    return entry;
  }()});
  CheckFailed(similar[0], Code::kAlreadyExists, kEntryExists);
  CHECK(similar[0].entry->id == "entry-1");
  // Either may go; the other still answers.
  CHECK(registry->DeleteEntries(std::vector<std::string>{"entry-1"})[0]);
  CHECK(registry->FindEntry("entry-2") != nullptr);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: deletes answer in order; a second delete finds nothing; ids are free again") {
  registry->CreateEntries({MakeEntry(0), MakeEntry(1), MakeEntry(2), MakeEntry(3)});
  const std::size_t commits = store->commits();
  const auto statuses = registry->DeleteEntries(
      std::vector<std::string>{"entry-1", "", "nope", "entry-2", "entry-1"});
  CHECK(statuses[0]);
  CHECK(statuses[1].error().code == Code::kInvalidArgument);
  CHECK(statuses[2].error().code == Code::kNotFound);
  CHECK(statuses[3]);
  CHECK(statuses[4].error().code == Code::kNotFound);
  CHECK(store->commits() == commits + 1);
  CHECK(Ids(registry->ListEntries({}, 0, "")->items) ==
        std::vector<std::string>{"entry-0", "entry-3"});
  Create(MakeEntry(1));
  CHECK(Ids(registry->ListEntries({}, 0, "")->items) ==
        std::vector<std::string>{"entry-0", "entry-3", "entry-1"});
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: pages come in order of creation, stable while entries come, change and go") {
  for (int i = 0; i < 7; ++i) Create(MakeEntry(i));
  const auto first = registry->ListEntries({}, 3, "");
  CHECK(Ids(first->items) == std::vector<std::string>{"entry-0", "entry-1", "entry-2"});
  CHECK(registry->DeleteEntries(std::vector<std::string>{"entry-1", "entry-3"})[1]);
  Entry changed = MakeEntry(4);
  changed.hint = "changed";
  CHECK(registry->UpdateEntries({{changed, {}}})[0].status);
  Create(MakeEntry(7));
  const auto second = registry->ListEntries({}, 3, first->next);
  CHECK(Ids(second->items) == std::vector<std::string>{"entry-4", "entry-5", "entry-6"});
  const auto third = registry->ListEntries({}, 3, second->next);
  CHECK(Ids(third->items) == std::vector<std::string>{"entry-7"});
  REQUIRE(!third->next.empty());
  const auto last = registry->ListEntries({}, 3, third->next);
  CHECK(last->items.empty());
  CHECK(last->next.empty());
  // No size: everything, whatever the token.
  CHECK(registry->ListEntries({}, 0, "rubbish")->items.size() == 6);
  CHECK(registry->ListEntries({}, 0, "")->next.empty());
}

TEST_CASE_METHOD(RegistryFixture, "registry: a page token that is none of ours is refused") {
  for (int i = 0; i < 4; ++i) Create(MakeEntry(i));
  PutNode(test::MakeNode(1));
  const std::string token = registry->ListEntries({}, 1, "")->next;
  std::vector<std::string> bad = {
      "x", "1", "999999", "-5", token + "A", token.substr(1), registry->ListNodes({}, 1, "")->next};
  for (std::size_t i = 0; i < token.size(); i += 5) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    bad.push_back(changed);
  }
  for (const std::string& page_token : bad) {
    CAPTURE(page_token);
    const auto page = registry->ListEntries({}, 1, page_token);
    REQUIRE(!page);
    CHECK(page.error().code == Code::kInvalidArgument);
    CHECK(page.error().reason == kPageTokenMalformed);
  }
  CHECK(!registry->ListNodes({}, 1, token));
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: filters find the same by index as by looking at each entry") {
  std::mt19937 dice(7);
  const auto pick = [&](int bound) {
    return static_cast<int>(dice() % static_cast<unsigned>(bound));
  };
  std::vector<Entry> wanted;
  for (int i = 0; i < 400; ++i) {
    Entry entry = MakeEntry(i, "/p" + std::to_string(pick(5)));
    entry.spiffe_id = Id("/s" + std::to_string(pick(20)));
    entry.selectors.clear();
    for (int s = pick(4); s >= 0; --s) entry.selectors.push_back({"t", std::to_string(pick(6))});
    entry.selectors = MakeSelectorSet(entry.selectors);
    entry.hint = pick(3) == 0 ? "h" : "";
    entry.downstream = pick(3) == 0;
    wanted.push_back(entry);
  }
  registry->CreateEntries(wanted);
  const auto all = registry->ListEntries({}, 0, "")->items;
  REQUIRE(all.size() > 250);
  for (int round = 0; round < 300; ++round) {
    EntryFilter filter;
    if (pick(3) == 0) filter.spiffe_id = Id("/s" + std::to_string(pick(22)));
    if (pick(3) == 0) filter.parent_id = Id("/p" + std::to_string(pick(6)));
    if (pick(2) == 0) {
      std::vector<Selector> selectors;
      for (int s = pick(3); s >= 0; --s) selectors.push_back({"t", std::to_string(pick(7))});
      filter.selectors =
          EntryFilter::Selectors{MakeSelectorSet(selectors), static_cast<MatchBehavior>(pick(4))};
    }
    if (pick(4) == 0) filter.hint = "h";
    if (pick(4) == 0) filter.downstream = true;
    std::vector<std::string> expected;
    for (const EntryPtr& entry : all) {
      if (Matches(*entry, filter)) expected.push_back(entry->id);
    }
    CHECK(Ids(registry->ListEntries(filter, 0, "")->items) == expected);
    CHECK(registry->CountEntries(filter) == expected.size());
    std::vector<std::string> paged;
    std::string token;
    do {
      const auto page = registry->ListEntries(filter, 7, token);
      for (const EntryPtr& entry : page->items) paged.push_back(entry->id);
      token = page->next;
    } while (!token.empty());
    CHECK(paged == expected);
  }
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: admin and downstream rights follow the entries of an ID") {
  CHECK(!registry->HasAdminEntry(Id("/w1")));
  Entry entry = MakeEntry(1);
  entry.admin = true;
  Create(entry);
  Entry other = MakeEntry(1, "/elsewhere");
  other.id = "other";
  other.downstream = true;
  Create(other);
  CHECK(registry->HasAdminEntry(Id("/w1")));
  CHECK(registry->HasDownstreamEntry(Id("/w1")));
  CHECK(!registry->HasAdminEntry(Id("/w2")));
  CHECK(!registry->HasDownstreamEntry(Id("/w2")));
  CHECK(registry->DeleteEntries(std::vector<std::string>{"other"})[0]);
  CHECK(!registry->HasDownstreamEntry(Id("/w1")));
  CHECK(registry->DeleteEntries(std::vector<std::string>{entry.id})[0]);
  CHECK(!registry->HasAdminEntry(Id("/w1")));
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: the rights of an entry end with its time, before it is pruned") {
  Entry entry = MakeEntry(1);
  entry.admin = true;
  entry.downstream = true;
  entry.expires_at = UnixSeconds(clock.Now());
  Create(entry);
  CHECK(registry->HasAdminEntry(Id("/w1")));
  CHECK(registry->HasDownstreamEntry(Id("/w1")));
  CHECK(registry->AuthorizedEntries(entry.parent_id).size() == 1);
  clock.Advance(std::chrono::seconds(1));
  CHECK(!registry->HasAdminEntry(Id("/w1")));
  CHECK(!registry->HasDownstreamEntry(Id("/w1")));
  CHECK(registry->AuthorizedEntries(entry.parent_id).empty());
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: pruning takes entries whose end has passed, in one commit, and no others") {
  const std::int64_t now = test::FakeClock::kDefaultUnixSeconds;
  const std::int64_t ends[] = {0, now - 1, now, now + 1, 1};
  for (int i = 0; i < 5; ++i) {
    Entry entry = MakeEntry(i);
    entry.expires_at = ends[i];
    Create(entry);
  }
  const std::size_t commits = store->commits();
  CHECK(registry->PruneExpiredEntries().value() == 2);
  CHECK(store->commits() == commits + 1);
  CHECK(Ids(registry->ListEntries({}, 0, "")->items) ==
        std::vector<std::string>{"entry-0", "entry-2", "entry-3"});
  CHECK(registry->PruneExpiredEntries().value() == 0);
  CHECK(store->commits() == commits + 1);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: observers hear of each change once, in revision order, from any thread") {
  std::vector<Change> heard;
  const std::uint64_t id =
      registry->AddObserver([&](const Change& change) { heard.push_back(change); });
  const Revision before = registry->revision();
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 25; ++i) registry->CreateEntries({MakeEntry(thread * 25 + i)});
      });
    }
  }
  REQUIRE(heard.size() == 200);
  std::set<std::string> ids;
  for (std::size_t i = 0; i < heard.size(); ++i) {
    CHECK(heard[i].revision == before + i + 1);
    REQUIRE(heard[i].entries_put.size() == 1);
    ids.insert(heard[i].entries_put[0]->id);
  }
  CHECK(ids.size() == 200);
  // A removal tells what was there.
  CHECK(registry->DeleteEntries(std::vector<std::string>{"entry-7"})[0]);
  REQUIRE(heard.back().entries_removed.size() == 1);
  CHECK(heard.back().entries_removed[0]->spiffe_id == Id("/w7"));
  registry->RemoveObserver(id);
  Create(MakeEntry(7));
  CHECK(heard.size() == 201);
}

TEST_CASE_METHOD(RegistryFixture, "registry: reads go on while changes are made") {
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  {
    std::jthread reader([&] {
      std::size_t last = 0;
      while (!done) {
        const auto page = registry->ListEntries({}, 0, "");
        if (!page || page->items.size() < last) ++wrong;
        if (page) last = page->items.size();
        if (registry->AuthorizedEntries(Id("/parent")).size() < last) ++wrong;
      }
    });
    for (int i = 0; i < 200; ++i) registry->CreateEntries({MakeEntry(i)});
    done = true;
  }
  CHECK(wrong == 0);
}

}  // namespace signet::identity
