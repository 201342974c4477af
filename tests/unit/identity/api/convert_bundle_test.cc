#include <catch2/catch.hpp>

#include "identity/api/convert.h"
#include "tests/support/test_pki.h"

namespace signet::identity {
namespace {

namespace types = spire::api::types;

types::Bundle FullBundle() {
  static const test::TestAuthority authority("spiffe://one.test");
  types::Bundle bundle;
  bundle.set_trust_domain("one.test");
  bundle.add_x509_authorities()->set_asn1(ToString(authority.certificate().der()));
  auto* key = bundle.add_jwt_authorities();
  key->set_key_id("kid");
  key->set_public_key(ToString(authority.certificate().public_key().spki()));
  key->set_expires_at(7);
  bundle.set_refresh_hint(60);
  bundle.set_sequence_number(42);
  return bundle;
}

void CheckRefused(const types::Bundle& proto) {
  const auto bundle = ReadBundle(proto, "bundle");
  REQUIRE_FALSE(bundle);
  CHECK(bundle.error().code == Code::kInvalidArgument);
  CHECK(bundle.error().reason == kFieldInvalid);
}

TEST_CASE("a bundle survives the way in and out") {
  auto read = ReadBundle(FullBundle(), "bundle");
  REQUIRE(read);
  read->trust_domain = TrustDomain::Parse("one.test").value();
  types::Bundle written;
  WriteBundle(*read, {}, &written);
  CHECK(written.SerializeAsString() == FullBundle().SerializeAsString());
}

TEST_CASE("a caller's word that an authority is tainted is not taken") {
  auto proto = FullBundle();
  proto.mutable_x509_authorities(0)->set_tainted(true);
  proto.mutable_jwt_authorities(0)->set_tainted(true);
  const auto read = ReadBundle(proto, "bundle");
  REQUIRE(read);
  CHECK_FALSE(read->x509_authorities[0].tainted);
  CHECK_FALSE(read->jwt_authorities[0].tainted);
}

TEST_CASE("an authority that is no certificate, or a JWT key without id or content, is refused") {
  for (const std::string& asn1 :
       {std::string(), std::string("rubbish"), FullBundle().x509_authorities(0).asn1() + "x"}) {
    auto proto = FullBundle();
    proto.mutable_x509_authorities(0)->set_asn1(asn1);
    CheckRefused(proto);
  }
  auto no_id = FullBundle();
  no_id.mutable_jwt_authorities(0)->clear_key_id();
  CheckRefused(no_id);
  for (const char* key : {"", "rubbish"}) {
    auto proto = FullBundle();
    proto.mutable_jwt_authorities(0)->set_public_key(key);
    CheckRefused(proto);
  }
}

}  // namespace
}  // namespace signet::identity
