#include "agent/sync/batch_assembler.h"

#include <catch2/catch.hpp>

#include "agent/sync/codec.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using signet::sync::v1::Batch;

namespace {

Batch Part(std::uint64_t revision, bool full, bool last, const std::vector<std::string>& ids = {}) {
  Batch batch;
  batch.set_revision(revision);
  batch.set_full(full);
  batch.set_last(last);
  for (const std::string& id : ids)
    *batch.add_upserts() = FromEntry(Entry(id, "/" + id, {"unix:uid:1"}));
  return batch;
}

}  // namespace

TEST_CASE("the parts of a revision become one delta at the last one") {
  BatchAssembler assembler;
  const auto first = assembler.Add(Part(7, false, false, {"a"}));
  REQUIRE(first);
  CHECK_FALSE(*first);
  Batch last = Part(7, false, true, {"b"});
  last.add_removed_entry_ids("c");
  last.add_removed_bundles("one.test");
  const auto whole = assembler.Add(last);
  REQUIRE(whole);
  REQUIRE(*whole);
  CHECK((*whole)->revision == 7);
  CHECK((*whole)->upserts.size() == 2);
  CHECK((*whole)->removed_entries == std::vector<std::string>{"c"});
  CHECK((*whole)->removed_bundles.size() == 1);
  const auto next = assembler.Add(Part(8, true, true));
  REQUIRE(next);
  CHECK((*next)->upserts.empty());
}

TEST_CASE("batches that break the protocol are refused") {
  const auto refuse = [](std::vector<Batch> batches) {
    BatchAssembler assembler;
    for (std::size_t i = 0; i + 1 < batches.size(); ++i) REQUIRE(assembler.Add(batches[i]));
    CHECK_FALSE(assembler.Add(batches.back()));
  };
  refuse({Part(0, true, true)});
  refuse({Part(7, false, false), Part(8, false, true)});
  refuse({Part(7, false, false), Part(7, true, true)});
  refuse({Part(7, false, false, {"a"}), Part(7, false, true, {"a"})});
  Batch removing = Part(7, true, true);
  removing.add_removed_entry_ids("a");
  refuse({removing});
  Batch unreadable = Part(7, true, true, {"a"});
  unreadable.mutable_upserts(0)->mutable_spiffe_id()->set_path("no/slash");
  refuse({unreadable});
  Batch bundle = Part(7, true, true);
  bundle.add_bundles()->set_trust_domain("one.test");
  bundle.mutable_bundles(0)->add_x509_authorities()->set_asn1("junk");
  refuse({bundle});
}

TEST_CASE("entries and bundles come back from SPIRE's messages as they went") {
  auto entry = Entry("a", "/a", {"unix:uid:1", "unix:path:/x:y"});
  entry.federates_with = {*identity::TrustDomain::Parse("one.test")};
  entry.revision_number = 3;
  entry.expires_at = 99;
  entry.hint = "h";
  entry.store_svid = true;
  entry.disable_x509_svid_prefetch = true;
  const auto back = ToEntry(FromEntry(entry));
  REQUIRE(back);
  CHECK(back->spiffe_id == entry.spiffe_id);
  CHECK(back->selectors == entry.selectors);
  CHECK(back->federates_with == entry.federates_with);
  CHECK(back->IsSameVersionAs(entry));
  CHECK(back->expires_at == 99);
  CHECK(back->hint == "h");
  CHECK(back->store_svid);
  CHECK(back->disable_x509_svid_prefetch);

  const signet::test::SigningAuthority authority("example.org", signet::test::FakeClock().Now());
  identity::Bundle bundle = authority.bundle();
  bundle.x509_authorities[0].tainted = true;
  bundle.jwt_authorities.push_back({"kid", Bytes{1, 2}, 5, false});
  bundle.refresh_hint = 60;
  const auto same = ToBundle(FromBundle(bundle));
  REQUIRE(same);
  CHECK(*same == bundle);
}

TEST_CASE("a chain is at least a leaf and never too long") {
  spire::api::types::X509SVID svid;
  CHECK(ToChain(svid).error().reason == kMessageMalformed);
  const signet::test::SigningAuthority authority("example.org", signet::test::FakeClock().Now());
  for (std::size_t i = 0; i < ca::kMaxChainLength; ++i)
    svid.add_cert_chain(ToString(authority.root().der()));
  CHECK(ToChain(svid));
  svid.add_cert_chain(ToString(authority.root().der()));
  CHECK(ToChain(svid).error().reason == kMessageMalformed);
}
