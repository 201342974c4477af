#include "identity/svid/denial.h"

#include <catch2/catch.hpp>

namespace signet::identity {
namespace {

SpiffeId Id(std::string_view text) { return SpiffeId::Parse(text).value(); }
const WallTime kNow = FromUnixSeconds(1000);

DenialPtr Make(std::string id, DenialKind kind, std::string subject, std::int64_t until = 0) {
  Denial denial;
  denial.id = std::move(id);
  denial.kind = kind;
  denial.subject = std::move(subject);
  denial.until = until;
  return std::make_shared<const Denial>(std::move(denial));
}

TEST_CASE("an empty set denies nobody, and its digest is that of nothing") {
  const DenialSetPtr set = DenialSet::Create({});
  CHECK(set->Find(Id("spiffe://td/a"), "01", kNow) == nullptr);
  CHECK(set->digest() == ca::Sha256({}));
}

TEST_CASE("an identity is denied exactly, a certificate by its serial in any spelling") {
  const DenialSetPtr set = DenialSet::Create(
      {Make("1", DenialKind::kSpiffeId, "spiffe://td/a"), Make("2", DenialKind::kSerial, "ab12")});
  REQUIRE(set->Find(Id("spiffe://td/a"), {}, kNow) != nullptr);
  CHECK(set->Find(Id("spiffe://td/a"), {}, kNow)->id == "1");
  CHECK(set->Find(Id("spiffe://td/a/b"), {}, kNow) == nullptr);
  CHECK(set->Find(Id("spiffe://td"), {}, kNow) == nullptr);
  for (const char* serial : {"ab12", "AB12", "00ab12", "0xab12", "AB:12"}) {
    INFO(serial);
    CHECK(set->Find(Id("spiffe://td/b"), serial, kNow) != nullptr);
  }
  CHECK(set->Find(Id("spiffe://td/b"), "ab1200", kNow) == nullptr);
}

TEST_CASE("a denial holds before its end, and for good without one") {
  const DenialSetPtr set =
      DenialSet::Create({Make("1", DenialKind::kSpiffeId, "spiffe://td/a", 1001),
                         Make("2", DenialKind::kSpiffeId, "spiffe://td/b", 1000),
                         Make("3", DenialKind::kSpiffeId, "spiffe://td/b", 1500)});
  CHECK(set->Find(Id("spiffe://td/a"), {}, kNow) != nullptr);
  CHECK(set->Find(Id("spiffe://td/a"), {}, FromUnixSeconds(1001)) == nullptr);
  // One of two that is over does not hide the other.
  CHECK(set->Find(Id("spiffe://td/b"), {}, kNow) != nullptr);
}

TEST_CASE("a denial of an unknown kind is kept and digested, and matches nobody") {
  const auto kind = static_cast<DenialKind>(9);
  const DenialSetPtr set = DenialSet::Create({Make("1", kind, "spiffe://td/a")});
  CHECK(set->Find(Id("spiffe://td/a"), "01", kNow) == nullptr);
  CHECK(set->digest() != DenialSet::Create({})->digest());
}

TEST_CASE("the digest depends on what is denied, not on the order or the reasons") {
  const auto a = Make("1", DenialKind::kSpiffeId, "spiffe://td/a");
  const auto b = Make("2", DenialKind::kSerial, "ab", 7);
  CHECK(DenialSet::Create({a, b})->digest() == DenialSet::Create({b, a})->digest());
  CHECK(DenialSet::Create({a, b})->digest() !=
        DenialSet::Create({a, Make("2", DenialKind::kSerial, "ab", 8)})->digest());
  Denial told = *a;
  told.reason = "because";
  CHECK(DenialSet::Create({std::make_shared<const Denial>(told)})->digest() ==
        DenialSet::Create({a})->digest());
}

TEST_CASE("of two denials with one id the later counts") {
  const DenialSetPtr set = DenialSet::Create({Make("1", DenialKind::kSpiffeId, "spiffe://td/a"),
                                              Make("1", DenialKind::kSpiffeId, "spiffe://td/b")});
  CHECK(set->all().size() == 1);
  CHECK(set->Find(Id("spiffe://td/a"), {}, kNow) == nullptr);
  CHECK(set->FindById("1")->subject == "spiffe://td/b");
  CHECK(set->FindById("2") == nullptr);
}

TEST_CASE("subjects have one spelling, and an agent is denied as an agent") {
  CHECK(NormalizeDenialSubject(DenialKind::kSerial, "00:AB:0c").value() == "ab0c");
  CHECK(NormalizeDenialSubject(DenialKind::kSpiffeId, "spiffe://td/a").value() == "spiffe://td/a");
  const std::string agent = "spiffe://td/spire/agent/join_token/x";
  CHECK(NormalizeDenialSubject(DenialKind::kAgent, agent).value() == agent);
  for (const char* serial :
       {"", "0", "xyz", "12 ", "0x", "123456789012345678901234567890123456789012"}) {
    INFO(serial);
    CHECK_FALSE(NormalizeDenialSubject(DenialKind::kSerial, serial).has_value());
  }
  CHECK_FALSE(NormalizeDenialSubject(DenialKind::kSpiffeId, agent).has_value());
  CHECK_FALSE(NormalizeDenialSubject(DenialKind::kAgent, "spiffe://td/a").has_value());
  CHECK_FALSE(NormalizeDenialSubject(DenialKind::kSpiffeId, "td/a").has_value());
  CHECK_FALSE(NormalizeDenialSubject(DenialKind::kUnknown, "spiffe://td/a").has_value());
}

}  // namespace
}  // namespace signet::identity
