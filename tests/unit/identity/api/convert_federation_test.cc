#include "identity/api/convert_federation.h"

#include <catch2/catch.hpp>

#include "tests/support/test_pki.h"

namespace signet::identity {
namespace {

namespace types = spire::api::types;

types::FederationRelationship Full() {
  static const test::TestAuthority authority("spiffe://one.test");
  types::FederationRelationship proto;
  proto.set_trust_domain("one.test");
  proto.set_bundle_endpoint_url("https://bundle.one.test:8443/b");
  proto.mutable_https_spiffe()->set_endpoint_spiffe_id("spiffe://elsewhere.test/endpoint");
  auto* bundle = proto.mutable_trust_domain_bundle();
  bundle->set_trust_domain("one.test");
  bundle->add_x509_authorities()->set_asn1(ToString(authority.certificate().der()));
  bundle->set_sequence_number(3);
  return proto;
}

void CheckRefused(const types::FederationRelationship& proto, std::string_view part) {
  const auto read = ReadRelationship(proto, {});
  REQUIRE_FALSE(read);
  CHECK(read.error().code == Code::kInvalidArgument);
  CHECK(read.error().detail.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("a relationship survives the way in and out, by both profiles") {
  for (const bool web : {false, true}) {
    auto proto = Full();
    if (web) proto.mutable_https_web();
    const auto read = ReadRelationship(proto, {});
    REQUIRE(read);
    REQUIRE(read->bundle);
    CHECK(read->bundle->trust_domain.name() == "one.test");
    types::FederationRelationship written;
    WriteRelationship(read->relationship, &*read->bundle, {}, &written);
    CHECK(written.SerializeAsString() == proto.SerializeAsString());
  }
}

TEST_CASE("what a mask leaves out of a relationship is neither read nor written") {
  types::FederationRelationship proto;
  proto.set_trust_domain("spiffe://one.test");
  proto.set_bundle_endpoint_url("no URL");
  proto.mutable_trust_domain_bundle()->set_trust_domain("two.test");
  const RelationshipMask nothing{.url = false, .profile = false, .bundle = false};
  const auto read = ReadRelationship(proto, nothing);
  REQUIRE(read);
  CHECK(read->relationship.trust_domain.name() == "one.test");
  CHECK_FALSE(read->bundle);
  const auto full = ReadRelationship(Full(), {});
  REQUIRE(full);
  types::FederationRelationship written;
  WriteRelationship(full->relationship, &*full->bundle, nothing, &written);
  types::FederationRelationship bare;
  bare.set_trust_domain("one.test");
  CHECK(written.SerializeAsString() == bare.SerializeAsString());
  WriteRelationship(full->relationship, nullptr, {}, &written);
  CHECK_FALSE(written.has_trust_domain_bundle());
}

TEST_CASE("a relationship that cannot be is refused, and the text names the field") {
  auto proto = Full();
  proto.set_trust_domain("");
  CheckRefused(proto, "trust domain is missing");
  proto.set_trust_domain("a b");
  CheckRefused(proto, "failed to parse trust domain");
  proto = Full();
  proto.set_bundle_endpoint_url("http://x/");
  CheckRefused(proto, "must use the https scheme");
  proto = Full();
  proto.clear_bundle_endpoint_profile();
  CheckRefused(proto, "unsupported bundle endpoint profile");
  proto = Full();
  proto.mutable_https_spiffe()->set_endpoint_spiffe_id("https://x");
  CheckRefused(proto, "failed to parse endpoint SPIFFE ID");
  proto = Full();
  proto.mutable_trust_domain_bundle()->set_trust_domain("two.test");
  CheckRefused(proto, "must match the trust domain");
  proto.mutable_trust_domain_bundle()->clear_trust_domain();
  CheckRefused(proto, "trust domain is missing");
  proto = Full();
  proto.mutable_trust_domain_bundle()->mutable_x509_authorities(0)->set_asn1("junk");
  CheckRefused(proto, "failed to parse bundle");
}

}  // namespace signet::identity
