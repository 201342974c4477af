#include "agent/revocation/denial_board.h"

#include <catch2/catch.hpp>

#include "agent/cache/workload_view.h"
#include "agent/sync/denial_assembler.h"
#include "base/file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using identity::Denial;
using identity::DenialKind;
using signet::sync::v1::Denials;
using signet::test::TempDir;

namespace {

identity::DenialPtr Make(std::string id, DenialKind kind, std::string subject,
                         std::int64_t until = 0) {
  Denial denial;
  denial.id = std::move(id);
  denial.kind = kind;
  denial.subject = std::move(subject);
  denial.until = until;
  return std::make_shared<const Denial>(std::move(denial));
}

struct BoardWorld {
  TempDir folder;
  Logger log = Logger::Null();
  std::shared_ptr<const SecretBytes> kek = *LoadOrCreateKek(folder.File("kek"));
  DenialBoard Open() const {
    return DenialBoard(SealedFile(folder.File("denials.sealed"), kek, "denials"), log);
  }
};

Denials Part(std::uint64_t revision, bool full, bool last) {
  Denials part;
  part.set_revision(revision);
  part.set_full(full);
  part.set_last(last);
  return part;
}

signet::sync::v1::Denial* Add(Denials* part, const std::string& id, std::uint32_t kind,
                              const std::string& subject) {
  auto* added = part->add_upserts();
  added->set_id(id);
  added->set_kind(kind);
  added->set_subject(subject);
  return added;
}

}  // namespace

TEST_CASE("denials are there after a restart, unknown kinds and all") {
  BoardWorld w;
  DenialBoard board = w.Open();
  REQUIRE(board.Restore());  // nothing was kept
  CHECK(board.Current().denials->empty());
  REQUIRE(board.Apply({7,
                       true,
                       {Make("1", DenialKind::kSpiffeId, "spiffe://example.org/a", 99),
                        Make("2", static_cast<DenialKind>(9), "x")},
                       {}}));
  DenialBoard again = w.Open();
  REQUIRE(again.Restore());
  CHECK(again.Current().revision == 7);
  CHECK(again.Current().denials->digest() == board.Current().denials->digest());
  CHECK(again.Current().denials->FindById("1")->until == 99);
}

TEST_CASE("a change adds, replaces and removes; a full one replaces all; observers hear of each") {
  BoardWorld w;
  DenialBoard board = w.Open();
  int heard = 0;
  board.Observe([&] { ++heard; });
  REQUIRE(board.Apply(
      {1, true, {Make("1", DenialKind::kSerial, "a"), Make("2", DenialKind::kSerial, "b")}, {}}));
  REQUIRE(
      board.Apply({2,
                   false,
                   {Make("2", DenialKind::kSerial, "b", 5), Make("3", DenialKind::kSerial, "c")},
                   {"1", "unknown"}}));
  CHECK(board.Current().denials->all().size() == 2);
  CHECK(board.Current().denials->FindById("2")->until == 5);
  REQUIRE(board.Apply({3, true, {}, {}}));
  CHECK(board.Current().denials->empty());
  CHECK(heard == 3);
}

TEST_CASE("a file of denials that was tampered with is an error, and nothing is held") {
  BoardWorld w;
  REQUIRE(w.Open().Apply({1, true, {Make("1", DenialKind::kSerial, "a")}, {}}));
  auto bytes = *ReadFile(w.folder.File("denials.sealed"), 1 << 20);
  bytes.back() ^= 1;
  REQUIRE(WriteFileAtomically(w.folder.File("denials.sealed"), bytes, 0600));
  DenialBoard board = w.Open();
  CHECK_FALSE(board.Restore());
  CHECK(board.Current().denials->empty());
}

TEST_CASE("more denials than are kept anywhere are refused, and what was held stays") {
  BoardWorld w;
  DenialBoard board = w.Open();
  std::vector<identity::DenialPtr> many;
  for (std::size_t i = 0; i < identity::kMaxDenials; ++i)
    many.push_back(Make(std::to_string(i), DenialKind::kSerial, "a"));
  REQUIRE(board.Apply({1, true, many, {}}));
  CHECK_FALSE(board.Apply({2, false, {Make("x", DenialKind::kSerial, "a")}, {}}));
  CHECK(board.Current().revision == 1);
  CHECK(board.Apply({2, false, {Make("x", DenialKind::kSerial, "a")}, {"0"}}));
}

TEST_CASE("the parts of a revision of denials become one delta at the last one") {
  DenialAssembler assembler;
  Denials first = Part(7, false, false);
  Add(&first, "1", 1, "spiffe://example.org/a");
  REQUIRE(assembler.Add(first));
  Denials last = Part(7, false, true);
  Add(&last, "2", 2, "ab");
  Add(&last, "3", 77, "of the future");
  last.add_removed_ids("4");
  const auto whole = assembler.Add(last);
  REQUIRE(whole);
  REQUIRE(*whole);
  CHECK((*whole)->revision == 7);
  CHECK((*whole)->upserts.size() == 3);
  CHECK((*whole)->removed == std::vector<std::string>{"4"});
  CHECK((*assembler.Add(Part(8, true, true)))->upserts.empty());
}

TEST_CASE("denials that break the protocol are refused") {
  const auto refused = [](const std::vector<Denials>& parts) {
    DenialAssembler assembler;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) REQUIRE(assembler.Add(parts[i]));
    return !assembler.Add(parts.back()).has_value();
  };
  CHECK(refused({Part(0, true, true)}));
  CHECK(refused({Part(7, true, false), Part(8, true, true)}));
  CHECK(refused({Part(7, true, false), Part(7, false, true)}));
  Denials removing = Part(7, true, true);
  removing.add_removed_ids("x");
  CHECK(refused({removing}));
  const auto with = [](const std::string& id, std::uint32_t kind, const std::string& subject) {
    Denials part = Part(7, true, true);
    Add(&part, id, kind, subject);
    return part;
  };
  CHECK(refused({with("", 1, "spiffe://example.org/a")}));
  CHECK(refused({with("1", 0, "spiffe://example.org/a")}));
  CHECK(refused({with("1", 300, "spiffe://example.org/a")}));
  CHECK(refused({with("1", 1, "example.org/a")}));
  CHECK(refused({with("1", 2, "00ab")}));  // not its one spelling
}

TEST_CASE("what is denied is neither held nor granted, and SVIDs that come late are not served") {
  signet::test::FakeClock clock;
  const signet::test::SigningAuthority authority("example.org", clock.Now());
  Cache cache(ExampleOrg());
  const AuthorizedEntry a = Entry("a", "/a", {"unix:uid:1"});
  const AuthorizedEntry b = Entry("b", "/b", {"unix:uid:1"});
  REQUIRE(cache.Apply(Full(1, {a, b}, {authority.bundle()})));
  const WallTime now = clock.Now();
  const auto later = now + std::chrono::hours(1);
  const SvidPtr svid_a = Svid(authority, a, now - std::chrono::minutes(1), later);
  const SvidPtr svid_b = Svid(authority, b, now - std::chrono::minutes(1), later);
  cache.Install({{"a", svid_a}, {"b", svid_b}});
  const auto held = Selectors({"unix:uid:1"});
  const auto deny = [&](std::vector<identity::DenialPtr> denials) {
    return cache.SetDenials(identity::DenialSet::Create(std::move(denials)), 2, now);
  };
  REQUIRE(ViewFor(*cache.Current(), held, now).grants.size() == 2);

  CHECK(deny({Make("1", DenialKind::kSpiffeId, "spiffe://example.org/a")}) == 1);
  WorkloadView view = ViewFor(*cache.Current(), held, now);
  REQUIRE(view.grants.size() == 1);
  CHECK(view.grants[0].entry->id == "b");
  CHECK(view.denials->all().size() == 1);
  cache.Install({{"a", svid_a}});  // it was on its way
  CHECK(ViewFor(*cache.Current(), held, now).grants.size() == 1);

  const std::string serial =
      *identity::NormalizeDenialSubject(DenialKind::kSerial, svid_b->SerialHex());
  CHECK(deny({Make("1", DenialKind::kSpiffeId, "spiffe://example.org/a"),
              Make("2", DenialKind::kSerial, serial)}) == 2);
  view = ViewFor(*cache.Current(), held, now);
  REQUIRE(view.grants.size() == 1);
  CHECK(view.grants[0].svid == nullptr);  // another one may be minted
  CHECK(view.Missing() == std::vector<std::string>{"b"});

  deny({Make("1", DenialKind::kSpiffeId, "spiffe://example.org/a"),
        Make("2", DenialKind::kSpiffeId, "spiffe://example.org/b")});
  CHECK(ViewFor(*cache.Current(), held, now).state == WorkloadView::State::kDenied);
  deny({});
  CHECK(ViewFor(*cache.Current(), held, now).grants.size() == 2);
}
