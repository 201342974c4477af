#include <atomic>
#include <latch>
#include <thread>

#include "identity/store/sqlite/sqlite_store.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Domain;
using test::Id;
using test::MakeEntry;
using test::MakeNode;

constexpr Reason kRefusedByTest{"refused by the test"};
constexpr std::int64_t kNow = test::FakeClock::kDefaultUnixSeconds;

std::vector<std::string> Paths(const std::vector<NodePtr>& nodes) {
  std::vector<std::string> paths;
  for (const NodePtr& node : nodes) paths.push_back(node->id.path());
  return paths;
}

}  // namespace

TEST_CASE_METHOD(RegistryFixture,
                 "registry: a changed node is stored, one unchanged or refused is not") {
  CHECK(registry->FindNode(MakeNode(1).id) == nullptr);
  const NodePtr put = PutNode(MakeNode(1));
  CHECK(*put == MakeNode(1));
  CHECK(registry->FindNode(put->id) == put);
  const std::size_t commits = store->commits();
  const auto same = registry->ChangeNode(put->id, [](Node&) -> Status { return {}; });
  CHECK(*same == put);
  const auto refused = registry->ChangeNode(put->id, [](Node& node) -> Status {
    node.serial = "7";
    return Fail(Code::kPermissionDenied, kRefusedByTest);
  });
  REQUIRE(!refused);
  CHECK(refused.error().reason == kRefusedByTest);
  CHECK(store->commits() == commits);
  CHECK(registry->FindNode(put->id) == put);
  store->FailNextCommit({Code::kUnavailable, kStoreUnavailable, ""});
  CHECK(!registry->ChangeNode(put->id, [](Node& node) -> Status {
    node.serial = "8";
    return {};
  }));
  CHECK(registry->FindNode(put->id) == put);
  REQUIRE(registry->ChangeNode(put->id, [](Node& node) -> Status {
    node.serial = "9";
    return {};
  }));
  Restart();
  CHECK(registry->FindNode(put->id)->serial == "9");
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: a ban takes the serials away and holds until the node is deleted") {
  CHECK(registry->BanNode(MakeNode(1).id).error().code == Code::kNotFound);
  PutNode(MakeNode(1));
  REQUIRE(registry->BanNode(MakeNode(1).id));
  const NodePtr banned = registry->FindNode(MakeNode(1).id);
  CHECK(banned->banned());
  CHECK(banned->new_serial.empty());
  CHECK(banned->serial_expires_at == MakeNode(1).serial_expires_at);
  const std::size_t commits = store->commits();
  CHECK(registry->BanNode(MakeNode(1).id));
  CHECK(store->commits() == commits);
  Restart();
  CHECK(registry->FindNode(MakeNode(1).id)->banned());
  CHECK(registry->DeleteNode(MakeNode(1).id));
  CHECK(registry->FindNode(MakeNode(1).id) == nullptr);
  CHECK(registry->DeleteNode(MakeNode(1).id).error().reason == kAgentNotFound);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: deleting a node leaves its entries, but for the alias that is its own") {
  const SpiffeId agent = PutNode(MakeNode(1))->id;
  Entry alias = MakeEntry(1, agent.path());
  alias.selectors = {{"spiffe_id", agent.ToString()}};
  Create(alias);
  Create(MakeEntry(2, agent.path()));
  Entry others = MakeEntry(3, MakeNode(2).id.path());
  others.selectors = alias.selectors;
  Create(others);
  std::vector<Change> heard;
  registry->AddObserver([&](const Change& change) { heard.push_back(change); });
  CHECK(registry->DeleteNode(agent));
  CHECK(Ids(registry->ListEntries({}, 0, "")->items) ==
        std::vector<std::string>{"entry-2", "entry-3"});
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].nodes_removed.size() == 1);
  CHECK(Ids(heard[0].entries_removed) == std::vector<std::string>{"entry-1"});
  Restart();
  CHECK(registry->CountEntries({}) == 2);
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: nodes are listed by page and filter in order of attestation") {
  for (int i = 0; i < 4; ++i) PutNode(MakeNode(i));
  REQUIRE(registry->BanNode(MakeNode(1).id));
  const auto path = [](int i) { return MakeNode(i).id.path(); };
  const auto first = registry->ListNodes({}, 1, "");
  CHECK(Paths(first->items) == std::vector{path(0)});
  CHECK(Paths(registry->ListNodes({}, 3, first->next)->items) ==
        std::vector{path(1), path(2), path(3)});
  NodeFilter filter;
  filter.banned = false;
  const auto unbanned = registry->ListNodes(filter, 2, "");
  CHECK(Paths(unbanned->items) == std::vector{path(0), path(2)});
  CHECK(Paths(registry->ListNodes(filter, 2, unbanned->next)->items) == std::vector{path(3)});
  CHECK(registry->CountNodes(filter) == 3);
  filter.banned = true;
  CHECK(Paths(registry->ListNodes(filter, 0, "")->items) == std::vector{path(1)});
  filter = {};
  filter.attestation_type = "none";
  CHECK(registry->ListNodes(filter, 2, "")->items.empty());
  CHECK(registry->ListNodes(filter, 2, "")->next.empty());
  filter = {};
  filter.can_reattest = true;
  CHECK(registry->CountNodes(filter) == 4);
  filter.can_reattest = false;
  CHECK(registry->CountNodes(filter) == 0);
  filter = {};
  filter.expires_before = MakeNode(0).serial_expires_at;
  CHECK(registry->CountNodes(filter) == 0);
  ++*filter.expires_before;
  CHECK(registry->CountNodes(filter) == 4);
  filter = {};
  filter.selectors = EntryFilter::Selectors{{{"zone", "a"}}, MatchBehavior::kSuperset};
  CHECK(registry->CountNodes(filter) == 4);
  filter.selectors->match = MatchBehavior::kExact;
  CHECK(registry->CountNodes(filter) == 0);
}

TEST_CASE_METHOD(RegistryFixture,
                 "registry: a join token attests once, and the node is stored with it") {
  REQUIRE(registry->AddJoinToken({"digest", kNow + 60, "/alias"}));
  CHECK(registry->AddJoinToken({"digest", kNow + 60, ""}).error().reason == kTokenExists);
  const auto make = [](const JoinToken& token) -> Result<Node> {
    CHECK(token.agent_path == "/alias");
    return MakeNode(1);
  };
  CHECK(registry->AttestWithToken("other", make).error().reason == kTokenUnknown);
  store->FailNextCommit({Code::kUnavailable, kStoreUnavailable, ""});
  CHECK(registry->AttestWithToken("digest", make).error().reason == kStoreUnavailable);
  CHECK(registry->FindNode(MakeNode(1).id) == nullptr);
  const auto attested = registry->AttestWithToken("digest", make);
  REQUIRE(attested);
  CHECK(registry->FindNode(MakeNode(1).id) == *attested);
  CHECK(registry->AttestWithToken("digest", make).error().reason == kTokenUnknown);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: an expired token is refused and pruned; a refused attestation spends its token") {
  REQUIRE(registry->AddJoinToken({"digest", kNow + 60, ""}));
  REQUIRE(registry->AddJoinToken({"later", kNow + 600, ""}));
  clock.Advance(std::chrono::seconds(60));
  const auto refuse = [](const JoinToken&) -> Result<Node> {
    return Fail(Code::kPermissionDenied, kRefusedByTest);
  };
  const auto make = [](const JoinToken&) -> Result<Node> { return MakeNode(1); };
  clock.Advance(std::chrono::seconds(1));
  const auto expired = registry->AttestWithToken("digest", make);
  REQUIRE(!expired);
  CHECK(expired.error().reason == kTokenExpired);
  CHECK(registry->FindNode(MakeNode(1).id) == nullptr);
  CHECK(registry->AttestWithToken("digest", make).error().reason == kTokenExpired);
  CHECK(registry->PruneExpiredTokens());
  CHECK(registry->AttestWithToken("digest", make).error().reason == kTokenUnknown);

  CHECK(registry->AttestWithToken("later", refuse).error().reason == kRefusedByTest);
  CHECK(registry->AttestWithToken("later", make).error().reason == kTokenUnknown);
  CHECK(registry->CountNodes({}) == 0);
}

TEST_CASE("registry over SQLite: attestations at the same moment are decided each by itself") {
  const test::TempDir folder;
  const Logger log = Logger::Null();
  test::FakeClock clock;
  test::FakeRandom random;
  auto store = SqliteStore::Open(folder.File("signet.db"), Domain(), log);
  REQUIRE(store);
  auto loaded = Registry::Load(**store, Domain(), clock, random);
  REQUIRE(loaded);
  Registry& registry = **loaded;
  constexpr int kThreads = 60;
  for (int i = 0; i < kThreads; ++i) {  // of four kinds: good, unknown, expired, refused
    if (i % 4 == 1) continue;
    REQUIRE(
        registry.AddJoinToken({"t" + std::to_string(i), i % 4 == 2 ? kNow - 1 : kNow + 60, ""}));
  }
  std::latch started(kThreads);
  std::array<std::optional<Reason>, kThreads> refusals;
  const auto attest = [&](int i) {
    return registry.AttestWithToken(
        "t" + std::to_string(i),
        [i](const JoinToken&) -> Result<Node> {
          if (i % 4 == 3) return Fail(Code::kPermissionDenied, kRefusedByTest);
          return MakeNode(i);
        },
        Actor{i % 8 == 0 ? "one" : "another"});
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        started.arrive_and_wait();
        const auto attested = attest(i);
        if (!attested) refusals.at(static_cast<std::size_t>(i)) = attested.error().reason;
        if (attested && (*attested)->id != MakeNode(i).id)
          refusals.at(static_cast<std::size_t>(i)) = Reason{"another's"};
      });
    }
  }
  for (int i = 0; i < kThreads; ++i) {
    const auto& refusal = refusals.at(static_cast<std::size_t>(i));
    const std::optional<Reason> wanted[] = {std::nullopt, kTokenUnknown, kTokenExpired,
                                            kRefusedByTest};
    CHECK(refusal == wanted[i % 4]);
    CHECK((registry.FindNode(MakeNode(i).id) != nullptr) == (i % 4 == 0));
    // Used tokens and those of refused ones are spent, expired ones stay until they are pruned.
    CHECK(attest(i).error().reason == (i % 4 == 2 ? kTokenExpired : kTokenUnknown));
  }
  const auto stored = (*store)->LoadNodes();
  REQUIRE(stored);
  CHECK(stored->size() == kThreads / 4);
}

TEST_CASE(
    "registry over SQLite: of 100 attestations with one token exactly one wins, its issuance with "
    "it") {
  const test::TempDir folder;
  const Logger log = Logger::Null();
  test::FakeClock clock;
  test::FakeRandom random;
  auto store = SqliteStore::Open(folder.File("signet.db"), Domain(), log);
  REQUIRE(store);
  auto registry = Registry::Load(**store, Domain(), clock, random);
  REQUIRE(registry);
  REQUIRE((*registry)->AddJoinToken({"digest", kNow + 60, ""}));
  constexpr int kThreads = 100;
  std::latch started(kThreads);
  std::atomic<int> won = 0;
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        started.arrive_and_wait();
        const auto attested =
            (*registry)->AttestWithToken("digest", [&](const JoinToken&) -> Result<Node> {
              // What an attestation does: looks at the node, journals the certificate it signs.
              if ((*registry)->FindNode(MakeNode(i).id) != nullptr)
                return Fail(Code::kInternal, kRefusedByTest);
              SIGNET_RETURN_IF_ERROR((*store)->AppendRecords({test::MakeIssuance(i)}));
              return MakeNode(i);
            });
        if (attested) {
          ++won;
        } else if (attested.error().reason == kTokenUnknown) {
          ++refused;
        }
      });
    }
  }
  CHECK(won == 1);
  CHECK(refused == kThreads - 1);
  CHECK((*registry)->CountNodes({}) == 1);
  CHECK((*store)->LoadNodes()->size() == 1);
  CHECK(test::LoadIssuances(**store, "", 10).size() == 1);
}

TEST_CASE_METHOD(
    RegistryFixture,
    "registry: the own bundle is there from the start; its sequence grows with changes only") {
  const BundlePtr empty = registry->OwnBundle();
  REQUIRE(empty != nullptr);
  CHECK(empty->trust_domain == Domain());
  CHECK(empty->x509_authorities.empty());
  CHECK(empty->sequence_number == 0);
  const std::size_t commits = store->commits();
  Restart();
  CHECK(store->commits() == 0);
  CHECK(commits == 1);

  std::vector<Change> heard;
  registry->AddObserver([&](const Change& change) { heard.push_back(change); });
  const auto add = [](Bundle& bundle) -> Status {
    bundle.jwt_authorities.push_back({"kid", Bytes{1}, 0, false});
    bundle.sequence_number = 50;
    return {};
  };
  const auto changed = registry->ChangeOwnBundle(add);
  REQUIRE(changed);
  CHECK((*changed)->sequence_number == 1);
  CHECK(registry->OwnBundle() == *changed);
  CHECK(registry->FindBundle(Domain()) == *changed);
  CHECK(registry->FindBundle(Domain("one.test")) == nullptr);
  CHECK(registry->FederatedBundles().empty());
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].bundles_put == std::vector<BundlePtr>{*changed});

  const auto same = registry->ChangeOwnBundle([](Bundle& bundle) -> Status {
    bundle.sequence_number = 70;
    return {};
  });
  CHECK(*same == *changed);
  CHECK(!registry->ChangeOwnBundle([](Bundle& bundle) -> Status {
    bundle.jwt_authorities.clear();
    return Fail(Code::kAborted, kRefusedByTest);
  }));
  store->FailNextCommit({Code::kUnavailable, kStoreUnavailable, ""});
  CHECK(!registry->ChangeOwnBundle(add));
  CHECK(registry->OwnBundle() == *changed);
  CHECK(heard.size() == 1);
  Restart();
  CHECK(*registry->OwnBundle() == **changed);
}

TEST_CASE("registry: it does not start on a store that does not answer") {
  test::FakeStore store;
  store.Break({Code::kUnavailable, kStoreUnavailable, ""});
  const test::FakeClock clock;
  test::FakeRandom random;
  const auto registry = Registry::Load(store, Domain(), clock, random);
  REQUIRE(!registry);
  CHECK(registry.error().reason == kStoreUnavailable);
}

}  // namespace signet::identity
