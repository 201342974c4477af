#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Id;
using test::MakeIssuance;
using test::MakeNode;

Denial Wanted(DenialKind kind, std::string subject, std::int64_t until = 0) {
  Denial denial;
  denial.kind = kind;
  denial.subject = std::move(subject);
  denial.until = until;
  denial.created_by = "uid:0";
  return denial;
}

std::vector<DenialPtr> Deny(RegistryFixture& f, Denial wanted) {
  auto made = f.registry->Deny(std::move(wanted));
  if (!made) FAIL(made.error().Message());
  return *std::move(made);
}

TEST_CASE("a denial takes the next revision, is told to observers, and survives a restart") {
  RegistryFixture f;
  std::vector<Change> seen;
  f.registry->AddObserver([&](const Change& change) { seen.push_back(change); });
  const Revision before = f.registry->revision();
  const auto made = Deny(f, Wanted(DenialKind::kSpiffeId, "spiffe://example.org/web"));
  REQUIRE(made.size() == 1);
  CHECK(f.registry->revision() == before + 1);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].denials_put == made);
  CHECK(f.registry->IsDenied(Id("/web")));
  CHECK_FALSE(f.registry->IsDenied(Id("/web2")));
  CHECK(made[0]->created_at == UnixSeconds(f.clock.Now()));
  f.Restart();
  CHECK(f.registry->IsDenied(Id("/web")));
  CHECK(*f.registry->Denials()->all().front() == *made[0]);
}

TEST_CASE("denying twice answers the one denial, with the later end") {
  RegistryFixture f;
  const std::int64_t now = UnixSeconds(f.clock.Now());
  const auto subject = "spiffe://example.org/web";
  const auto first = Deny(f, Wanted(DenialKind::kSpiffeId, subject, now + 10));
  const auto longer = Deny(f, Wanted(DenialKind::kSpiffeId, subject, now + 20));
  CHECK(longer[0]->id == first[0]->id);
  CHECK(longer[0]->until == now + 20);
  CHECK(Deny(f, Wanted(DenialKind::kSpiffeId, subject, now + 5))[0]->until == now + 20);
  CHECK(Deny(f, Wanted(DenialKind::kSpiffeId, subject))[0]->until == 0);
  CHECK(Deny(f, Wanted(DenialKind::kSpiffeId, subject, now + 5))[0]->until == 0);
  CHECK(f.registry->Denials()->all().size() == 1);
}

TEST_CASE("a serial number is denied until its certificate ends, as the log says") {
  RegistryFixture f;
  AuditRecord record = MakeIssuance(1);
  record.serial = "0ab1";
  record.not_after = UnixSeconds(f.clock.Now()) + 77;
  REQUIRE(f.store->AppendRecords({record}));
  CHECK(Deny(f, Wanted(DenialKind::kSerial, "AB:1"))[0]->until == record.not_after);
  CHECK(Deny(f, Wanted(DenialKind::kSerial, "cd"))[0]->until == 0);
  CHECK(f.registry->IsDenied(Id("/x"), "0ab1"));
  CHECK_FALSE(f.registry->IsDenied(Id("/x"), "0ab2"));
}

TEST_CASE("an agent that is denied is banned, with the live SVIDs issued through it") {
  RegistryFixture f;
  const Node node = MakeNode(1);
  f.PutNode(node);
  const std::int64_t now = UnixSeconds(f.clock.Now());
  std::vector<AuditRecord> records;
  for (int i = 0; i < 4; ++i) {
    AuditRecord record = MakeIssuance(i);
    record.serial = "0" + std::to_string(i + 1);
    record.actor = node.id.ToString();
    record.not_after = now + 100;
    records.push_back(record);
  }
  records[1].not_after = now;  // over
  records[2].actor = "uid:0";  // not through it
  records[3].purpose = "jwt";  // no certificate
  REQUIRE(f.store->AppendRecords(records));
  const auto made = Deny(f, Wanted(DenialKind::kAgent, node.id.ToString()));
  REQUIRE(made.size() == 2);
  CHECK(made[0]->kind == DenialKind::kAgent);
  CHECK(made[1]->subject == "1");
  CHECK(made[1]->until == now + 100);
  CHECK(f.registry->FindNode(node.id)->banned());
}

TEST_CASE("an agent that is denied gets no serial, neither anew nor by renewal") {
  RegistryFixture f;
  const Node known = MakeNode(1);
  f.PutNode(known);
  Deny(f, Wanted(DenialKind::kAgent, known.id.ToString()));
  const Node never_seen = MakeNode(2);
  Deny(f, Wanted(DenialKind::kAgent, never_seen.id.ToString()));
  for (const Node& node : {known, never_seen}) {
    const auto changed = f.registry->ChangeNode(node.id, [&](Node& current) -> Status {
      current = node;
      return {};
    });
    REQUIRE_FALSE(changed);
    CHECK(changed.error().reason == kIdentityRevoked);
  }
  REQUIRE(f.registry->AddJoinToken({"digest", UnixSeconds(f.clock.Now()) + 60, {}}));
  const auto attested =
      f.registry->AttestWithToken("digest", [&](const JoinToken&) { return never_seen; });
  REQUIRE_FALSE(attested);
  CHECK(attested.error().reason == kIdentityRevoked);
  CHECK(f.registry->FindNode(never_seen.id) == nullptr);
}

TEST_CASE("a denial that is removed denies no more; an unknown one is NOT_FOUND") {
  RegistryFixture f;
  const auto made = Deny(f, Wanted(DenialKind::kSpiffeId, "spiffe://example.org/web"));
  CHECK(f.registry->RemoveDenial("other").error().code == Code::kNotFound);
  REQUIRE(f.registry->RemoveDenial(made[0]->id));
  CHECK_FALSE(f.registry->IsDenied(Id("/web")));
  f.Restart();
  CHECK(f.registry->Denials()->empty());
}

TEST_CASE("what has ended denies nobody, and pruning removes it") {
  RegistryFixture f;
  const std::int64_t now = UnixSeconds(f.clock.Now());
  Deny(f, Wanted(DenialKind::kSpiffeId, "spiffe://example.org/a", now + 10));
  Deny(f, Wanted(DenialKind::kSpiffeId, "spiffe://example.org/b"));
  CHECK(f.registry->PruneDenials().value() == 0);
  f.clock.Advance(std::chrono::seconds(10));
  CHECK_FALSE(f.registry->IsDenied(Id("/a")));
  CHECK(f.registry->PruneDenials().value() == 1);
  CHECK(f.registry->Denials()->all().size() == 1);
  CHECK(f.registry->IsDenied(Id("/b")));
}

TEST_CASE("what is no subject, and a reason without end, are refused") {
  RegistryFixture f;
  Denial long_winded = Wanted(DenialKind::kSpiffeId, "spiffe://example.org/a");
  long_winded.reason = std::string(kMaxDenialTextBytes + 1, 'x');
  for (const Denial& bad : {Wanted(DenialKind::kSpiffeId, "web"), Wanted(DenialKind::kSerial, "zz"),
                            Wanted(DenialKind::kAgent, "spiffe://example.org/web"),
                            Wanted(DenialKind::kUnknown, "spiffe://example.org/web"), long_winded})
    CHECK(f.registry->Deny(bad).error().code == Code::kInvalidArgument);
  CHECK(f.registry->Denials()->empty());
}

TEST_CASE("a denial that the store does not take is not there") {
  RegistryFixture f;
  f.store->FailNextCommit({Code::kUnavailable, kStoreUnavailable, {}});
  CHECK_FALSE(f.registry->Deny(Wanted(DenialKind::kSpiffeId, "spiffe://example.org/a")));
  CHECK_FALSE(f.registry->IsDenied(Id("/a")));
}

}  // namespace
}  // namespace signet::identity
