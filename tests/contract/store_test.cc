// What every Store holds to, run over each implementation and over the fake.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

#include "identity/audit/log_chain.h"
#include "tests/contract/store_subjects.h"
#include "tests/support/store_values.h"
#include "tests/support/test_certificates.h"

namespace signet::identity {
namespace {

using test::Domain;
using test::Id;
using test::MakeEntry;
using test::MakeFullEntry;
using test::MakeIssuance;
using test::MakeNode;

constexpr Reason kRefusedByTest{"refused by the test"};

template <class T>
T Value(Result<T> result) {
  if (!result) FAIL(result.error().Message());
  return *std::move(result);
}

Result<Revision> PutEntry(Store& store, const Entry& entry) {
  return store.Commit([&](Transaction& transaction) { return transaction.entries().Put(entry); });
}

Bundle EmptyBundle(const TrustDomain& trust_domain) {
  Bundle bundle;
  bundle.trust_domain = trust_domain;
  return bundle;
}

Bundle FullBundle() {
  Bundle bundle = EmptyBundle(Domain());
  const ca::Certificate first = test::MakeCertificate(test::CaSpec("first")).Parsed();
  const ca::Certificate second = test::MakeCertificate(test::CaSpec("second")).Parsed();
  bundle.x509_authorities = {{second, false}, {first, true}};
  bundle.jwt_authorities = {{"kid-b", Bytes{1, 2, 3}, 1900000000, true},
                            {"kid-a", Bytes{4, 0}, 0, false}};
  bundle.refresh_hint = 300;
  bundle.sequence_number = 9;
  return bundle;
}

FederationRelationship MakeRelationship(std::string_view domain, EndpointProfile profile) {
  FederationRelationship relationship;
  relationship.trust_domain = Domain(domain);
  relationship.url = Value(net::HttpsUrl::Parse("https://" + std::string(domain) + ":8443/b?x=1"));
  relationship.profile = profile;
  if (profile == EndpointProfile::kHttpsSpiffe)
    relationship.endpoint_id = Value(SpiffeId::Parse("spiffe://elsewhere.test/spire/server"));
  return relationship;
}

AuthorityRecord MakeAuthority(const std::string& type, const std::string& id) {
  AuthorityRecord record;
  record.type = type;
  record.slot = {.id = id,
                 .key_id = "x509-CA-A",
                 .state = ca::AuthorityState::kActive,
                 .issued_at = FromUnixSeconds(1767225600) + std::chrono::microseconds(250),
                 .not_after = FromUnixSeconds(1767312000),
                 .tainted = true};
  record.chain = {Bytes{0x30, 0x00}, Bytes{0x30, 0x01, 0x00}};
  record.public_key = Bytes{0x30, 0x02};
  return record;
}

bool Same(const AuthorityRecord& a, const AuthorityRecord& b) {
  return a.type == b.type && a.slot.id == b.slot.id && a.slot.key_id == b.slot.key_id &&
         a.slot.state == b.slot.state && a.slot.issued_at == b.slot.issued_at &&
         a.slot.not_after == b.slot.not_after && a.slot.tainted == b.slot.tainted &&
         a.chain == b.chain && a.public_key == b.public_key;
}

std::vector<std::string> Serials(const std::vector<AuditRecord>& records) {
  std::vector<std::string> serials;
  for (const AuditRecord& record : records) serials.push_back(record.serial);
  return serials;
}

}  // namespace

TEMPLATE_TEST_CASE("store: a new one is empty and at revision 0", "[store]", FakeSubject,
                   SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  CHECK(Value(store.LoadRevision()) == 0);
  CHECK(Value(store.LoadEntries()).empty());
  CHECK(Value(store.LoadNodes()).empty());
  CHECK(Value(store.LoadBundles()).empty());
  CHECK(Value(store.LoadAuthorities()).empty());
  CHECK(Value(store.LoadRelationships()).empty());
  CHECK(test::LoadIssuances(store, "", 10).empty());
}

TEMPLATE_TEST_CASE("store: every field of every aggregate is there after a reopen", "[store]",
                   FakeSubject, SqliteSubject) {
  TestType subject;
  const std::vector<Entry> entries = {MakeFullEntry(2), MakeEntry(1)};
  const std::vector<Node> nodes = {MakeNode(2), MakeNode(1)};
  const std::vector<Bundle> bundles = {FullBundle(), EmptyBundle(Domain("one.test"))};
  const std::vector<FederationRelationship> relationships = {
      MakeRelationship("two.test", EndpointProfile::kHttpsSpiffe),
      MakeRelationship("one.test", EndpointProfile::kHttpsWeb)};
  const AuthorityRecord x509 = MakeAuthority("x509", "b");
  AuthorityRecord jwt = MakeAuthority("jwt", "b");
  jwt.chain.clear();
  jwt.slot.state = ca::AuthorityState::kOld;

  const Revision revision = Value(subject.store().Commit([&](Transaction& transaction) -> Status {
    CHECK(transaction.revision() == 1);
    for (const Entry& entry : entries) SIGNET_RETURN_IF_ERROR(transaction.entries().Put(entry));
    for (const Node& node : nodes) SIGNET_RETURN_IF_ERROR(transaction.nodes().Put(node));
    for (const Bundle& bundle : bundles) SIGNET_RETURN_IF_ERROR(transaction.bundles().Put(bundle));
    for (const FederationRelationship& one : relationships)
      SIGNET_RETURN_IF_ERROR(transaction.federation().Put(one));
    SIGNET_RETURN_IF_ERROR(transaction.authorities().Put(x509));
    return transaction.authorities().Put(jwt);
  }));
  CHECK(revision == 1);

  subject.Reopen();
  Store& store = subject.store();
  CHECK(Value(store.LoadRevision()) == 1);
  CHECK(Value(store.LoadEntries()) == entries);
  CHECK(Value(store.LoadNodes()) == nodes);
  CHECK(Value(store.LoadBundles()) == bundles);
  CHECK(Value(store.LoadRelationships()) == relationships);
  const auto authorities = Value(store.LoadAuthorities());
  REQUIRE(authorities.size() == 2);
  CHECK(Same(authorities[0], x509));
  CHECK(Same(authorities[1], jwt));
}

TEMPLATE_TEST_CASE("store: a second put replaces the row whole and keeps its place", "[store]",
                   FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  Node node = MakeNode(1);
  Bundle bundle = FullBundle();
  AuthorityRecord authority = MakeAuthority("x509", "a");
  REQUIRE(store.Commit([&](Transaction& transaction) -> Status {
    SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeFullEntry(1)));
    SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeEntry(2)));
    SIGNET_RETURN_IF_ERROR(transaction.nodes().Put(node));
    SIGNET_RETURN_IF_ERROR(transaction.bundles().Put(bundle));
    return transaction.authorities().Put(authority);
  }));
  Entry changed = MakeEntry(1);
  changed.spiffe_id = Id("/other");
  node.serial.clear();
  node.selectors = {{"zone", "b"}};
  bundle.x509_authorities.pop_back();
  bundle.jwt_authorities.clear();
  bundle.sequence_number = 10;
  authority.slot.state = ca::AuthorityState::kPrepared;
  authority.chain.pop_back();
  REQUIRE(store.Commit([&](Transaction& transaction) -> Status {
    SIGNET_RETURN_IF_ERROR(transaction.entries().Put(changed));
    SIGNET_RETURN_IF_ERROR(transaction.nodes().Put(node));
    SIGNET_RETURN_IF_ERROR(transaction.bundles().Put(bundle));
    return transaction.authorities().Put(authority);
  }));
  CHECK(Value(store.LoadEntries()) == std::vector<Entry>{changed, MakeEntry(2)});
  CHECK(Value(store.LoadNodes()) == std::vector<Node>{node});
  CHECK(Value(store.LoadBundles()) == std::vector<Bundle>{bundle});
  const auto authorities = Value(store.LoadAuthorities());
  REQUIRE(authorities.size() == 1);
  CHECK(Same(authorities[0], authority));
}

TEMPLATE_TEST_CASE(
    "store: a relationship is replaced whole in its place, and removed without the "
    "bundle of its trust domain",
    "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  const auto one = MakeRelationship("one.test", EndpointProfile::kHttpsSpiffe);
  const auto two = MakeRelationship("two.test", EndpointProfile::kHttpsWeb);
  const auto changed = MakeRelationship("one.test", EndpointProfile::kHttpsWeb);
  const auto put = [&](const FederationRelationship& relationship) {
    return subject.store().Commit(
        [&](Transaction& transaction) { return transaction.federation().Put(relationship); });
  };
  REQUIRE(put(one));
  REQUIRE(put(two));
  REQUIRE(put(changed));
  CHECK(Value(subject.store().LoadRelationships()) == std::vector{changed, two});
  REQUIRE(subject.store().Commit([&](Transaction& transaction) -> Status {
    SIGNET_RETURN_IF_ERROR(transaction.bundles().Put(EmptyBundle(Domain("one.test"))));
    SIGNET_RETURN_IF_ERROR(transaction.federation().Remove(Domain("one.test")));
    return transaction.federation().Remove(Domain("none.test"));
  }));
  subject.Reopen();
  CHECK(Value(subject.store().LoadRelationships()) == std::vector{two});
  CHECK(Value(subject.store().LoadBundles()).size() == 1);
}

TEMPLATE_TEST_CASE("store: removed rows are gone; removing what is not there changes nothing",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  REQUIRE(store.Commit([&](Transaction& transaction) -> Status {
    SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeFullEntry(1)));
    SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeEntry(2)));
    SIGNET_RETURN_IF_ERROR(transaction.nodes().Put(MakeNode(1)));
    SIGNET_RETURN_IF_ERROR(transaction.bundles().Put(FullBundle()));
    SIGNET_RETURN_IF_ERROR(transaction.authorities().Put(MakeAuthority("jwt", "a")));
    return transaction.authorities().Put(MakeAuthority("x509", "a"));
  }));
  REQUIRE(store.Commit([&](Transaction& transaction) -> Status {
    SIGNET_RETURN_IF_ERROR(transaction.entries().Remove("entry-1"));
    SIGNET_RETURN_IF_ERROR(transaction.entries().Remove("none"));
    SIGNET_RETURN_IF_ERROR(transaction.nodes().Remove(MakeNode(1).id));
    SIGNET_RETURN_IF_ERROR(transaction.bundles().Remove(Domain()));
    return transaction.authorities().Remove("x509", "a");
  }));
  subject.Reopen();
  Store& reopened = subject.store();
  CHECK(Value(reopened.LoadEntries()) == std::vector<Entry>{MakeEntry(2)});
  CHECK(Value(reopened.LoadNodes()).empty());
  CHECK(Value(reopened.LoadBundles()).empty());
  REQUIRE(Value(reopened.LoadAuthorities()).size() == 1);
  CHECK(Value(reopened.LoadAuthorities())[0].type == "jwt");
}

TEMPLATE_TEST_CASE("store: a failing transaction undoes all of itself and uses no revision",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  REQUIRE(Value(PutEntry(store, MakeEntry(1))) == 1);
  const auto failed = store.Commit([&](Transaction& transaction) -> Status {
    SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeEntry(2)));
    SIGNET_RETURN_IF_ERROR(transaction.entries().Remove("entry-1"));
    SIGNET_RETURN_IF_ERROR(transaction.tokens().Insert({"d", 1, ""}));
    return Fail(Code::kAborted, kRefusedByTest, "why");
  });
  REQUIRE(!failed);
  CHECK(failed.error().code == Code::kAborted);
  CHECK(failed.error().reason == kRefusedByTest);
  CHECK(failed.error().detail == "why");
  CHECK(Value(store.LoadRevision()) == 1);
  CHECK(Value(PutEntry(store, MakeEntry(3))) == 2);
  subject.Reopen();
  CHECK(Value(subject.store().LoadEntries()) == std::vector<Entry>{MakeEntry(1), MakeEntry(3)});
}

TEMPLATE_TEST_CASE("store: of transactions committed together, one that fails undoes only itself",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  constexpr int kThreads = 12;
  std::latch started(kThreads);
  std::vector<Result<Revision>> outcomes(kThreads, Revision{0});
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        started.arrive_and_wait();
        outcomes[static_cast<std::size_t>(i)] =
            store.Commit([&](Transaction& transaction) -> Status {
              SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeEntry(i)));
              if (i % 3 == 0) return Fail(Code::kAborted, kRefusedByTest);
              return {};
            });
      });
    }
  }
  subject.Reopen();
  std::set<std::string> stored;
  for (const Entry& entry : Value(subject.store().LoadEntries())) stored.insert(entry.id);
  std::set<Revision> revisions;
  for (int i = 0; i < kThreads; ++i) {
    const auto& outcome = outcomes[static_cast<std::size_t>(i)];
    CHECK(outcome.has_value() == (i % 3 != 0));
    CHECK(stored.contains(MakeEntry(i).id) == (i % 3 != 0));
    if (outcome) revisions.insert(*outcome);
  }
  CHECK(revisions.size() == 8);
  CHECK(*revisions.rbegin() == 8);
  CHECK(Value(subject.store().LoadRevision()) == 8);
}

TEMPLATE_TEST_CASE("store: under 8 committing threads revisions count without gaps in commit order",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  constexpr int kThreads = 8;
  constexpr int kEach = 40;
  std::mutex mutex;
  std::vector<Revision> in_commit_order;
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        Revision last = 0;
        for (int i = 0; i < kEach; ++i) {
          const auto revision = store.Commit([&](Transaction& transaction) {
            const std::lock_guard lock(mutex);
            in_commit_order.push_back(transaction.revision());
            return transaction.entries().Put(MakeEntry(thread * kEach + i));
          });
          if (!revision || *revision <= last) ++failures;
          if (revision) last = *revision;
        }
      });
    }
  }
  CHECK(failures == 0);
  CHECK(in_commit_order.size() == kThreads * kEach);
  CHECK(in_commit_order.front() == 1);
  CHECK(std::adjacent_find(in_commit_order.begin(), in_commit_order.end(),
                           [](Revision a, Revision b) { return b != a + 1; }) ==
        in_commit_order.end());
  subject.Reopen();
  CHECK(Value(subject.store().LoadEntries()).size() == kThreads * kEach);
  CHECK(Value(subject.store().LoadRevision()) == kThreads * kEach);
}

TEMPLATE_TEST_CASE("store: of 100 threads exactly one takes a join token", "[store]", FakeSubject,
                   SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  const JoinToken token{"digest", 1767225660, "/alias"};
  REQUIRE(
      store.Commit([&](Transaction& transaction) { return transaction.tokens().Insert(token); }));
  constexpr int kThreads = 100;
  std::latch started(kThreads);
  std::atomic<int> taken = 0;
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        started.arrive_and_wait();
        const auto outcome = store.Commit([&](Transaction& transaction) -> Status {
          SIGNET_TRY(const JoinToken got, transaction.tokens().Take(token.digest));
          if (got.expires_at != token.expires_at || got.agent_path != token.agent_path) {
            return Fail(Code::kInternal, kRefusedByTest);
          }
          return {};
        });
        if (outcome) {
          ++taken;
        } else if (outcome.error().reason == kTokenUnknown &&
                   outcome.error().code == Code::kNotFound) {
          ++refused;
        }
      });
    }
  }
  CHECK(taken == 1);
  CHECK(refused == kThreads - 1);
}

TEMPLATE_TEST_CASE("store: a token is inserted once, survives an undone take, and expires",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  const auto insert = [&](const JoinToken& token) {
    return store.Commit(
        [&](Transaction& transaction) { return transaction.tokens().Insert(token); });
  };
  const auto take = [&](const std::string& digest) {
    return store.Commit([&](Transaction& transaction) -> Status {
      SIGNET_TRY(const JoinToken token, transaction.tokens().Take(digest));
      CHECK(token.digest == digest);
      return {};
    });
  };
  REQUIRE(insert({"a", 100, ""}));
  const auto again = insert({"a", 200, ""});
  REQUIRE(!again);
  CHECK(again.error().code == Code::kAlreadyExists);
  CHECK(again.error().reason == kTokenExists);

  REQUIRE(!store.Commit([&](Transaction& transaction) -> Status {
    CHECK(transaction.tokens().Take("a"));
    CHECK(!transaction.tokens().Take("a"));
    return Fail(Code::kAborted, kRefusedByTest);
  }));
  CHECK(take("a"));
  CHECK(!take("a"));

  REQUIRE(insert({"old", 99, ""}));
  REQUIRE(insert({"due", 100, ""}));
  REQUIRE(store.Commit(
      [&](Transaction& transaction) { return transaction.tokens().RemoveExpired(100); }));
  CHECK(!take("old"));
  CHECK(take("due"));
}

TEMPLATE_TEST_CASE("store: issuances are kept, newest first, found by serial and by ID", "[store]",
                   FakeSubject, SqliteSubject) {
  TestType subject;
  REQUIRE(subject.store().AppendRecords({MakeIssuance(1), MakeIssuance(2)}));
  REQUIRE(subject.store().AppendRecords({MakeIssuance(3)}));
  REQUIRE(subject.store().AppendRecords({}));
  subject.Reopen();
  Store& store = subject.store();
  CHECK(Value(store.LoadRevision()) == 0);
  CHECK(Serials(test::LoadIssuances(store, "", 10)) ==
        std::vector<std::string>{"0a3", "0a2", "0a1"});
  CHECK(Serials(test::LoadIssuances(store, "", 2)) == std::vector<std::string>{"0a3", "0a2"});
  CHECK(Serials(test::LoadIssuances(store, "spiffe://example.org/w1", 10)) ==
        std::vector<std::string>{"0a3", "0a1"});
  CHECK((test::LoadIssuances(store, "none", 10)).empty());
  const auto found = (test::LoadIssuances(store, "0a2", 10));
  REQUIRE(found.size() == 1);
  const AuditRecord expected = MakeIssuance(2);
  CHECK(found[0].subject == expected.subject);
  CHECK(found[0].purpose == expected.purpose);
  CHECK(found[0].object == expected.object);
  CHECK(found[0].revision == expected.revision);
  CHECK(found[0].actor == expected.actor);
  CHECK(found[0].authority_id == expected.authority_id);
  CHECK(found[0].not_before == expected.not_before);
  CHECK(found[0].not_after == expected.not_after);
  CHECK(found[0].recorded_at == expected.recorded_at);
}

TEMPLATE_TEST_CASE("store: records that were submitted are durable when that is told", "[store]",
                   FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  std::vector<std::string> at_told(3);
  std::latch told(3);
  for (int i = 0; i < 3; ++i) {
    store.SubmitRecords({MakeIssuance(i + 1)}, [&, i](const Status& outcome) {
      at_told[static_cast<std::size_t>(i)] = outcome ? "recorded" : outcome.error().Message();
      told.count_down();
    });
  }
  told.wait();
  CHECK(at_told == std::vector<std::string>(3, "recorded"));
  subject.Reopen();
  CHECK(Serials(test::LoadIssuances(subject.store(), "", 10)) ==
        std::vector<std::string>{"0a3", "0a2", "0a1"});
}

TEMPLATE_TEST_CASE("store: an issuance appended within a transaction stands or falls with it",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  REQUIRE(!store.Commit([&](Transaction&) -> Status {
    SIGNET_RETURN_IF_ERROR(store.AppendRecords({MakeIssuance(1)}));
    return Fail(Code::kAborted, kRefusedByTest);
  }));
  CHECK(test::LoadIssuances(store, "", 10).empty());
  REQUIRE(store.Commit([&](Transaction&) { return store.AppendRecords({MakeIssuance(2)}); }));
  REQUIRE(store.AppendRecords({MakeIssuance(3)}));
  subject.Reopen();
  CHECK(Serials(test::LoadIssuances(subject.store(), "", 10)) ==
        std::vector<std::string>{"0a3", "0a2"});
}

TEMPLATE_TEST_CASE("store: the log is found by each filter, in either order, page by page",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  Store& store = subject.store();
  std::vector<AuditRecord> records;
  for (int i = 0; i < 6; ++i) {
    AuditRecord record;
    record.event = i % 2 == 0 ? event::kEntryCreated : event::kAgentBanned;
    record.recorded_at = 100 + i;
    record.actor = "uid:0";
    record.subject = "spiffe://example.org/w" + std::to_string(i % 3);
    record.object = "e" + std::to_string(i);
    record.detail = R"({"n":1})";
    records.push_back(record);
  }
  REQUIRE(store.AppendRecords(records));
  const auto seqs = [&](const LogFilter& filter) {
    std::vector<std::uint64_t> found;
    for (const LoggedRecord& logged : Value(store.LoadLog(filter))) {
      CHECK(logged.record == records.at(logged.place.seq - 1));
      found.push_back(logged.place.seq);
    }
    return found;
  };
  using Seqs = std::vector<std::uint64_t>;
  CHECK(seqs({}) == Seqs{1, 2, 3, 4, 5, 6});
  CHECK(seqs({.newest_first = true, .limit = 2}) == Seqs{6, 5});
  CHECK(seqs({.before = 5, .newest_first = true, .limit = 2}) == Seqs{4, 3});
  CHECK(seqs({.after = 2, .limit = 2}) == Seqs{3, 4});
  CHECK(seqs({.since = 102, .until = 104}) == Seqs{3, 4});
  CHECK(seqs({.subject = "spiffe://example.org/w1"}) == Seqs{2, 5});
  CHECK(seqs({.event = "entry"}) == Seqs{1, 3, 5});
  CHECK(seqs({.event = "agent.banned"}) == Seqs{2, 4, 6});
  CHECK(seqs({.event = "ent"}).empty());
  CHECK(seqs({.object = "e3"}) == Seqs{4});
  CHECK(seqs({.subject = "spiffe://example.org/w1", .event = "entry", .newest_first = true}) ==
        Seqs{5});
}

TEMPLATE_TEST_CASE("store: the log is chained, and pruned only behind a checkpoint", "[store]",
                   FakeSubject, SqliteSubject) {
  TestType subject;
  const auto follow = [](Store& store, LogHead base) {
    LogVerifier verifier(base);
    for (const LoggedRecord& logged : Value(store.LoadLog({}))) REQUIRE(verifier.Follow(logged));
    return verifier.head();
  };
  CHECK(Value(subject.store().LoadLogHead()) == LogHead{});
  for (int i = 1; i <= 5; ++i) REQUIRE(subject.store().AppendRecords({MakeIssuance(i)}));
  const LogHead head = Value(subject.store().LoadLogHead());
  CHECK(head.seq == 5);
  CHECK(follow(subject.store(), {}) == head);

  const auto refused = subject.store().PruneLog(3);
  REQUIRE(!refused);
  CHECK(refused.error().reason == kLogPruneRefused);
  const LogCheckpoint checkpoint{
      .head = head, .made_at = 7, .public_key = {1, 2}, .signature = {3}};
  REQUIRE(subject.store().PutCheckpoint(checkpoint));
  CHECK(Value(subject.store().LoadCheckpoints(10)) == std::vector<LogCheckpoint>{checkpoint});
  CHECK(!subject.store().PruneLog(5));
  REQUIRE(subject.store().PruneLog(3));
  REQUIRE(subject.store().PruneLog(2));

  subject.Reopen();
  Store& store = subject.store();
  const LogHead base = Value(store.LoadLogBase());
  CHECK(base.seq == 3);
  CHECK(Value(store.LoadLog({})).size() == 2);
  CHECK(follow(store, base) == head);
  REQUIRE(store.AppendRecords({MakeIssuance(6)}));
  CHECK(follow(store, base).seq == 6);
}

TEMPLATE_TEST_CASE("store: denials are there after a reopen, replaced and removed by id", "[store]",
                   FakeSubject, SqliteSubject) {
  TestType subject;
  const auto make = [](std::string id, DenialKind kind, std::string what) {
    return Denial{std::move(id), kind, std::move(what), 5, 6, "leaked \"key\"", "uid:0"};
  };
  const Denial agent = make("b", DenialKind::kAgent, "spiffe://example.org/spire/agent/x/y");
  Denial id = make("a", DenialKind::kSpiffeId, "spiffe://example.org/web");
  const Denial serial = make("c", DenialKind::kSerial, "ab12");
  const auto put = [&](const std::vector<Denial>& denials) {
    return subject.store().Commit([&](Transaction& transaction) -> Status {
      for (const Denial& denial : denials)
        SIGNET_RETURN_IF_ERROR(transaction.denials().Put(denial));
      return {};
    });
  };
  Value(put({serial, agent, id}));
  subject.Reopen();
  CHECK(Value(subject.store().LoadDenials()) == std::vector<Denial>{id, agent, serial});
  id.until = 0;
  Value(put({id}));
  Value(subject.store().Commit([&](Transaction& t) { return t.denials().Remove("b"); }));
  CHECK(Value(subject.store().LoadDenials()) == std::vector<Denial>{id, serial});
}

TEMPLATE_TEST_CASE("store: live serial numbers are those a caller asked for that have not ended",
                   "[store]", FakeSubject, SqliteSubject) {
  TestType subject;
  std::vector<AuditRecord> records;
  for (int i = 0; i < 5; ++i) {
    records.push_back(MakeIssuance(i));
    records.back().not_after = 1000 + i;
  }
  records[1].actor = "uid:0";
  records[2].purpose = "jwt";
  REQUIRE(subject.store().AppendRecords(records));
  const auto live = Value(subject.store().LoadLiveSerials(records[0].actor, 1000, 10));
  REQUIRE(live.size() == 2);  // the first has ended
  CHECK(live[0].serial == records[4].serial);
  CHECK(live[0].not_after == 1004);
  CHECK(live[1].serial == records[3].serial);
  CHECK(Value(subject.store().LoadLiveSerials(records[0].actor, 1000, 1)).size() == 1);
}

}  // namespace signet::identity
