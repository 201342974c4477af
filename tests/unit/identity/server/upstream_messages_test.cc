// What a server above answers and is not taken.
#include "identity/server/upstream_messages.h"

#include <catch2/catch.hpp>

#include "tests/support/test_pki.h"

namespace signet::identity {
namespace {

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

spire::api::types::Bundle GoodBundle() {
  static const test::TestAuthority authority("spiffe://example.org");
  static const ca::PrivateKey key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  spire::api::types::Bundle bundle;
  bundle.set_trust_domain("example.org");
  auto* const root = bundle.add_x509_authorities();
  root->set_asn1(ToString(authority.certificate().der()));
  root->set_tainted(true);
  auto* const jwt = bundle.add_jwt_authorities();
  jwt->set_key_id("one");
  jwt->set_public_key(ToString(key.public_key().spki()));
  return bundle;
}

std::string Refused(const spire::api::types::Bundle& bundle) {
  const auto trust = ReadUpstreamTrust(bundle, kTrustDomain);
  if (trust) return {};
  CHECK(trust.error().reason == kUpstreamUnusable);
  return trust.error().detail;
}

}  // namespace

TEST_CASE("the bundle above is read with its taints, and only when all of it can be") {
  const auto trust = ReadUpstreamTrust(GoodBundle(), kTrustDomain);
  REQUIRE(trust);
  CHECK(trust->is_whole);
  CHECK(trust->x509.front().tainted);
  CHECK(trust->jwt.front().key_id == "one");

  auto bundle = GoodBundle();
  bundle.set_trust_domain("other.example");
  CHECK(Refused(bundle) == "its bundle is of other.example");
  bundle = GoodBundle();
  bundle.clear_x509_authorities();
  CHECK(Refused(bundle) == "its bundle holds no X.509 authority");
  bundle = GoodBundle();
  bundle.mutable_x509_authorities(0)->mutable_asn1()->pop_back();
  CHECK(Refused(bundle).starts_with("certificate: "));
  bundle = GoodBundle();
  for (int i = 0; i < 1024; ++i) *bundle.add_x509_authorities() = bundle.x509_authorities(0);
  CHECK(Refused(bundle) == "too many X.509 authorities");
  bundle = GoodBundle();
  bundle.mutable_jwt_authorities(0)->clear_key_id();
  CHECK(Refused(bundle) == "a JWT authority without a key ID");
  bundle = GoodBundle();
  bundle.mutable_jwt_authorities(0)->set_public_key("no key");
  CHECK(Refused(bundle).starts_with("JWT authority: "));
  bundle = GoodBundle();
  for (int i = 0; i < 1024; ++i) *bundle.add_jwt_authorities() = bundle.jwt_authorities(0);
  CHECK(Refused(bundle) == "too many JWT authorities");
}

TEST_CASE("a grant without chain or root, or with too many, is refused") {
  const std::string der = GoodBundle().x509_authorities(0).asn1();
  spire::api::server::svid::v1::NewDownstreamX509CAResponse answer;
  answer.add_ca_cert_chain(der);
  CHECK_FALSE(ReadUpstreamGrant(answer));
  answer.add_x509_authorities(der);
  REQUIRE(ReadUpstreamGrant(answer));
  answer.add_ca_cert_chain("no certificate");
  CHECK_FALSE(ReadUpstreamGrant(answer));
  answer.clear_ca_cert_chain();
  CHECK_FALSE(ReadUpstreamGrant(answer));
  for (int i = 0; i < 11; ++i) answer.add_ca_cert_chain(der);
  CHECK_FALSE(ReadUpstreamGrant(answer));
}

}  // namespace signet::identity
