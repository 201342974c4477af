#include <algorithm>

#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Id;
using test::MakeEntry;

// An entry as files have it: without an id, or with the name it was given.
Entry Wanted(int number, std::string name = {}) {
  Entry entry = MakeEntry(number);
  entry.id = std::move(name);
  return entry;
}

struct World : RegistryFixture {
  ApplyOutcome Apply(OwnedSet set) {
    auto applied = registry->ApplyEntries(std::move(set));
    if (!applied) FAIL(applied.error().Message());
    return *std::move(applied);
  }
  ApplyOutcome Apply(std::vector<Entry> entries, bool prune = false,
                     const std::string& owner = "default") {
    return Apply(OwnedSet{
        .owner = owner, .entries = std::move(entries), .prune = prune, .plan_only = false});
  }
  std::vector<std::string> AllIds() const { return Ids(registry->ListEntries({}, 0, {})->items); }
};

void CheckNothingDone(const ApplyOutcome& outcome) {
  CHECK(outcome.problems.empty());
  CHECK(outcome.changes.empty());
}

void CheckRefused(const ApplyOutcome& outcome, std::size_t index, const std::string& text) {
  CHECK(outcome.changes.empty());
  REQUIRE(outcome.problems.size() == 1);
  CHECK(outcome.problems[0].index == index);
  INFO(outcome.problems[0].text);
  CHECK(outcome.problems[0].text.find(text) != std::string::npos);
}

}  // namespace

TEST_CASE_METHOD(World, "apply: a set is created in one revision, and survives a restart") {
  const Revision before = registry->revision();
  std::vector<Change> seen;
  registry->AddObserver([&](const Change& change) { seen.push_back(change); });
  const auto outcome = Apply({Wanted(1), Wanted(2, "two"), Wanted(3)});
  CHECK(outcome.problems.empty());
  REQUIRE(outcome.changes.size() == 3);
  CHECK(outcome.revision == before + 1);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].entries_put.size() == 3);
  const EntryPtr second = registry->FindEntry("apply.default.two");
  REQUIRE(second != nullptr);
  CHECK(second->spiffe_id == Id("/w2"));
  CHECK(second->created_at == test::FakeClock::kDefaultUnixSeconds);
  CHECK(second->revision_number == 0);
  const EntryPtr first = outcome.changes[0].after;
  CHECK(OwnerOf(first->id) == "default");
  CHECK(GivenName("default", *first).empty());
  CHECK(GivenName("default", *second) == "two");
  Restart();
  CHECK(AllIds().size() == 3);
  CHECK(registry->revision() == before + 1);
}

TEST_CASE_METHOD(World, "apply: a second time nothing changes and there is no new revision") {
  Entry full = test::MakeFullEntry(1);
  full.id.clear();
  full.federates_with.clear();
  full.store_svid = false;
  std::vector<Entry> entries = {full, Wanted(2, "two")};
  Apply(entries);
  const Revision revision = registry->revision();
  const std::size_t commits = store->commits();
  std::ranges::reverse(entries);
  std::ranges::reverse(entries[1].selectors);
  const auto again = Apply(entries, true);
  CheckNothingDone(again);
  CHECK(again.unchanged == 2);
  CHECK(again.revision == revision);
  CHECK(registry->revision() == revision);
  CHECK(store->commits() == commits);
}

TEST_CASE_METHOD(World, "apply: one bad or taken element keeps all from being applied") {
  Create(MakeEntry(9));
  const Revision before = registry->revision();
  Entry bad = Wanted(2);
  bad.dns_names = {"a..b"};
  Entry unfederated = Wanted(3);
  unfederated.federates_with = {test::Domain("other.test")};
  Entry over = Wanted(4);
  over.expires_at = 1;
  const auto outcome = Apply({Wanted(1), bad, unfederated, over, Wanted(1), Wanted(9)});
  CHECK(outcome.changes.empty());
  for (const OwnedProblem& problem : outcome.problems) UNSCOPED_INFO(problem.text);
  REQUIRE(outcome.problems.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(outcome.problems[i].index == i + 1);
  CHECK(outcome.problems[0].text.find("invalid label") != std::string::npos);
  CHECK(outcome.problems[1].text.find("other.test") != std::string::npos);
  CHECK(outcome.problems[2].text.find("expires_at") != std::string::npos);
  CHECK(outcome.problems[3].text.find("an entry before it") != std::string::npos);
  CHECK(outcome.problems[4].text.find("made by hand") != std::string::npos);
  CHECK(outcome.problems[4].hint.find("signet entry delete entry-9") != std::string::npos);
  CHECK(registry->revision() == before);
  CHECK(AllIds() == std::vector<std::string>{"entry-9"});
}

TEST_CASE_METHOD(World,
                 "apply: prune deletes the owner's own entries that are not named, and no others") {
  Create(MakeEntry(1));
  Apply({Wanted(2), Wanted(3)});
  Apply({Wanted(4)}, false, "other");
  const auto kept = Apply({Wanted(3)});
  CheckNothingDone(kept);
  CHECK(kept.not_named == 1);
  CHECK(AllIds().size() == 4);
  const auto pruned = Apply({Wanted(3)}, true);
  REQUIRE(pruned.changes.size() == 1);
  CHECK(pruned.changes[0].after == nullptr);
  CHECK(pruned.changes[0].before->spiffe_id == Id("/w2"));
  CHECK(AllIds().size() == 3);
  CHECK(Apply({}, true).changes.size() == 1);
  CHECK(AllIds().size() == 2);
  CHECK(registry->FindEntry("entry-1") != nullptr);
  CHECK(Apply({Wanted(4)}, true, "other").unchanged == 1);
}

TEST_CASE_METHOD(World, "apply: an id that only looks like an owner's is nobody's") {
  for (const char* id : {"apply.", "apply.default", "apply.default.", "apply..x", "apply.UP.x",
                         "default.x", "Apply.default.x"}) {
    INFO(id);
    CHECK(OwnerOf(id).empty());
  }
  Entry entry = MakeEntry(1);
  entry.id = "apply.default.";
  Create(entry);
  CheckNothingDone(Apply({}, true));
}

TEST_CASE_METHOD(World, "apply: a plan says what would be done and does nothing") {
  Apply({Wanted(1, "one"), Wanted(2)});
  const Revision before = registry->revision();
  Entry changed = Wanted(1, "one");
  changed.hint = "new";
  OwnedSet set{
      .owner = "default", .entries = {changed, Wanted(3)}, .prune = true, .plan_only = true};
  const auto plan = Apply(set);
  REQUIRE(plan.changes.size() == 3);
  CHECK(plan.changes[0].before->hint.empty());
  CHECK(plan.changes[0].after->hint == "new");
  CHECK(plan.changes[1].before == nullptr);
  CHECK(plan.changes[2].after == nullptr);
  CHECK(plan.revision == before);
  CHECK(registry->revision() == before);
  CHECK(registry->FindEntry("apply.default.one")->hint.empty());
  set.plan_only = false;
  CHECK(Apply(set).revision == before + 1);
  CHECK(registry->FindEntry("apply.default.one")->hint == "new");
}

TEST_CASE_METHOD(World, "apply: what was changed by hand is put back, all fields") {
  const Entry wanted = Wanted(1);
  const auto made = Apply({wanted}).changes[0].after;
  EntryUpdate update{.entry = *made, .mask = {}};
  update.entry.admin = true;
  update.entry.selectors = {{"unix", "uid:7"}};
  REQUIRE(registry->UpdateEntries({update})[0].status);
  const auto outcome = Apply({wanted});
  REQUIRE(outcome.changes.size() == 1);
  CHECK(outcome.changes[0].before->admin);
  CHECK(outcome.changes[0].after->revision_number == 2);
  CHECK(outcome.changes[0].after->created_at == made->created_at);
  const EntryPtr now = registry->FindEntry(made->id);
  CHECK_FALSE(now->admin);
  CHECK(now->selectors == wanted.selectors);
}

TEST_CASE_METHOD(World, "apply: a named entry keeps its id when its identity changes") {
  Apply({Wanted(1, "web"), Wanted(2, "db")});
  // Each takes the identity of the other, in one step.
  const auto swapped = Apply({Wanted(2, "web"), Wanted(1, "db")});
  CHECK(swapped.problems.empty());
  CHECK(swapped.changes.size() == 2);
  CHECK(registry->FindEntry("apply.default.web")->spiffe_id == Id("/w2"));
  CHECK(registry->FindEntry("apply.default.db")->spiffe_id == Id("/w1"));
  CHECK(AllIds().size() == 2);
}

TEST_CASE_METHOD(World,
                 "apply: an identity that another entry keeps is refused, saying whose it is") {
  Apply({Wanted(1)});
  CheckRefused(Apply({Wanted(1)}, false, "other"), 0, "of owner \"default\"");
  CheckRefused(Apply({Wanted(1, "web")}), 0, "which these files do not name");
  CheckRefused(Apply({Wanted(2, "a"), Wanted(3, "a")}), 1, "an entry before it has the same id");
  // Pruned in the same step, it makes room.
  CHECK(Apply({Wanted(1, "web")}, true).changes.size() == 2);
  CHECK(AllIds() == std::vector<std::string>{"apply.default.web"});
}

TEST_CASE_METHOD(World, "apply: when the store fails, nothing is changed") {
  Apply({Wanted(1)});
  const Revision before = registry->revision();
  store->FailNextCommit({Code::kUnavailable, kStoreUnavailable, "gone"});
  const OwnedSet set{.owner = "default", .entries = {Wanted(2)}, .prune = true, .plan_only = false};
  const auto failed = registry->ApplyEntries(set);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().reason == kStoreUnavailable);
  CHECK(registry->revision() == before);
  CHECK(AllIds().size() == 1);
  CHECK(Apply(set).changes.size() == 2);
}

TEST_CASE_METHOD(World,
                 "apply: an owner's label is short, of lower case letters, digits and dashes") {
  for (const std::string& owner : {std::string(), std::string("a.b"), std::string("A"),
                                   std::string("a_b"), std::string(64, 'a')}) {
    const auto refused = registry->ApplyEntries(
        {.owner = owner, .entries = {Wanted(1)}, .prune = false, .plan_only = false});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().reason == kOwnerMalformed);
    CHECK(refused.error().code == Code::kInvalidArgument);
  }
  CHECK(Apply({Wanted(1)}, false, std::string(63, 'a')).changes.size() == 1);
}

}  // namespace signet::identity
