#include "identity/server/authority_publication.h"

#include <catch2/catch.hpp>

#include "tests/support/test_pki.h"

namespace signet::identity {
namespace {

JwtBundleAuthority Key(std::string id, std::uint8_t content, bool tainted = false) {
  return {.key_id = std::move(id), .public_key = {content}, .expires_at = 0, .tainted = tainted};
}

TEST_CASE("what is appended to a bundle is added once, and never takes a taint away") {
  const test::TestAuthority authority("spiffe://example.org");
  Bundle added;
  added.x509_authorities = {{.certificate = authority.certificate()}};
  added.jwt_authorities = {Key("a", 1)};
  Bundle bundle;
  AddAuthorities(added, bundle);
  const Bundle once = bundle;
  AddAuthorities(added, bundle);
  CHECK(bundle == once);
  bundle.x509_authorities[0].tainted = true;
  bundle.jwt_authorities[0].tainted = true;
  const Bundle tainted = bundle;
  added.jwt_authorities[0].expires_at = 99;
  AddAuthorities(added, bundle);
  CHECK(bundle == tainted);
}

TEST_CASE("another key under the same key id, or the same with another end, is another authority") {
  Bundle bundle;
  bundle.jwt_authorities = {Key("a", 1)};
  Bundle added;
  added.jwt_authorities = {Key("a", 2), Key("a", 1)};
  added.jwt_authorities[1].expires_at = 99;
  AddAuthorities(added, bundle);
  CHECK(bundle.jwt_authorities.size() == 3);
}

TEST_CASE("an authority is found, tainted and revoked in a bundle by its id and type") {
  const test::TestAuthority authority("spiffe://example.org");
  const auto skid = EncodeHex(authority.certificate().subject_key_id());
  Bundle bundle;
  bundle.x509_authorities = {{.certificate = authority.certificate()}};
  bundle.jwt_authorities = {Key("a", 1), Key("b", 2)};
  CHECK(PublicationOf(bundle, kX509Authority, skid) == Publication::kTrusted);
  CHECK(PublicationOf(bundle, kJwtAuthority, skid) == Publication::kAbsent);
  TaintInBundle(kX509Authority, skid, bundle);
  CHECK(PublicationOf(bundle, kX509Authority, skid) == Publication::kTainted);
  TaintInBundle(kJwtAuthority, "a", bundle);
  CHECK(PublicationOf(bundle, kJwtAuthority, "a") == Publication::kTainted);
  CHECK(PublicationOf(bundle, kJwtAuthority, "b") == Publication::kTrusted);
  RevokeFromBundle(kJwtAuthority, "a", bundle);
  CHECK(PublicationOf(bundle, kJwtAuthority, "a") == Publication::kAbsent);
  CHECK(bundle.jwt_authorities.size() == 1);
  RevokeFromBundle(kX509Authority, skid, bundle);
  CHECK(bundle.x509_authorities.empty());
}

TEST_CASE("an id that two keys share is tainted only when both are") {
  Bundle bundle;
  bundle.jwt_authorities = {Key("a", 1, true), Key("a", 2)};
  CHECK(PublicationOf(bundle, kJwtAuthority, "a") == Publication::kTrusted);
  TaintInBundle(kJwtAuthority, "a", bundle);
  CHECK(PublicationOf(bundle, kJwtAuthority, "a") == Publication::kTainted);
}

TEST_CASE("a JWT authority is pruned a day after its end; an end past all time never comes") {
  const WallTime now = FromUnixSeconds(1767225600);
  Bundle bundle;
  bundle.jwt_authorities = {Key("ended", 1), Key("endless", 2), Key("absurd", 3)};
  bundle.jwt_authorities[0].expires_at = 1000;
  bundle.jwt_authorities[2].expires_at = std::numeric_limits<std::int64_t>::max();
  CHECK(HasPrunable(bundle, {}, now));
  PruneBundle({}, now, bundle);
  REQUIRE(bundle.jwt_authorities.size() == 2);
  CHECK(bundle.jwt_authorities[0].key_id == "endless");
  CHECK_FALSE(HasPrunable(bundle, {}, now));
}

}  // namespace
}  // namespace signet::identity
