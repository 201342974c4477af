#include "ca/jose/jwk.h"

#include <catch2/catch.hpp>

#include "tests/support/test_certificates.h"

namespace signet::ca {
namespace {

PublicJwk JwkOfKey(const std::string& kind) {
  test::CertificateSpec spec = test::CaSpec("root");
  spec.key = kind;
  return WritePublicJwk(test::MakeCertificate(spec).Parsed().public_key()).value();
}

std::string Coordinate(std::size_t octets) { return EncodeBase64Url(Bytes(octets, 1)); }

TEST_CASE("each kind of key survives the way to a JWK and back") {
  const std::string kind = GENERATE("P-256", "P-384", "P-521", "RSA-2048", "ED25519");
  test::CertificateSpec spec = test::CaSpec("root");
  spec.key = kind;
  const PublicKey key = test::MakeCertificate(spec).Parsed().public_key();
  const PublicJwk jwk = WritePublicJwk(key).value();
  const auto read = ReadPublicJwk(jwk);
  REQUIRE(read);
  CHECK(*read == key);
  CHECK(WritePublicJwk(*read).value() == jwk);
}

TEST_CASE("EC coordinates are written at the full width of the curve") {
  CHECK(DecodeBase64Url(JwkOfKey("P-256").x)->size() == 32);
  CHECK(DecodeBase64Url(JwkOfKey("P-521").y)->size() == 66);
}

TEST_CASE("the key of RFC 7515, A.3 is read") {
  const PublicJwk jwk{.kty = "EC",
                      .crv = "P-256",
                      .x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                      .y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"};
  const auto key = ReadPublicJwk(jwk);
  REQUIRE(key);
  CHECK(key->HasType(KeyType::kEcP256));
  CHECK(WritePublicJwk(*key).value() == jwk);
}

TEST_CASE("unknown kinds of key are told apart from malformed ones") {
  CHECK(ReadPublicJwk(PublicJwk{.kty = "AKP"}).error().reason == kJwkUnsupported);
  CHECK(ReadPublicJwk({}).error().reason == kJwkUnsupported);
  PublicJwk jwk = JwkOfKey("P-256");
  jwk.crv = "secp256k1";
  CHECK(ReadPublicJwk(jwk).error().reason == kJwkUnsupported);
  jwk = JwkOfKey("ED25519");
  jwk.crv = "X25519";
  CHECK(ReadPublicJwk(jwk).error().reason == kJwkUnsupported);
}

TEST_CASE("an EC key with bad coordinates is refused") {
  PublicJwk jwk = JwkOfKey("P-256");
  SECTION("missing") { jwk.y.clear(); }
  SECTION("not base64url") { jwk.x[3] = '+'; }
  SECTION("padded") { jwk.x += "="; }
  SECTION("too short") { jwk.x = Coordinate(31); }
  SECTION("too long") { jwk.x = Coordinate(33); }
  SECTION("not on the curve") { jwk.x = Coordinate(32); }
  SECTION("of another curve") { jwk.crv = "P-384"; }
  CHECK(ReadPublicJwk(jwk).error().reason == kJwkMalformed);
}

TEST_CASE("an RSA key with bad numbers is refused") {
  PublicJwk jwk = JwkOfKey("RSA-2048");
  SECTION("no modulus") { jwk.n.clear(); }
  SECTION("small modulus") { jwk.n = EncodeBase64Url(Bytes(128, 0xFF)); }
  SECTION("vast modulus") { jwk.n = EncodeBase64Url(Bytes(1025, 0xFF)); }
  SECTION("even modulus") { jwk.n = EncodeBase64Url(Bytes(256, 0xFE)); }
  SECTION("no exponent") { jwk.e.clear(); }
  SECTION("exponent one") { jwk.e = "AQ"; }
  SECTION("even exponent") { jwk.e = "Ag"; }
  SECTION("vast exponent") { jwk.e = EncodeBase64Url(Bytes(6, 0xFF)); }
  CHECK(ReadPublicJwk(jwk).error().reason == kJwkMalformed);
}

TEST_CASE("an RSA modulus with a zero in front is the same key") {
  const PublicJwk jwk = JwkOfKey("RSA-2048");
  Bytes padded = DecodeBase64Url(jwk.n).value();
  padded.insert(padded.begin(), 0);
  PublicJwk loose = jwk;
  loose.n = EncodeBase64Url(padded);
  CHECK(WritePublicJwk(ReadPublicJwk(loose).value()).value() == jwk);
}

TEST_CASE("an Ed25519 key of the wrong length is refused") {
  PublicJwk jwk = JwkOfKey("ED25519");
  jwk.x = Coordinate(31);
  CHECK(ReadPublicJwk(jwk).error().reason == kJwkMalformed);
}

TEST_CASE("a key without a JWK form is not written") {
  test::CertificateSpec spec = test::CaSpec("root");
  spec.key = "secp256k1";
  const auto written = WritePublicJwk(test::MakeCertificate(spec).Parsed().public_key());
  REQUIRE_FALSE(written);
  CHECK(written.error().reason == kJwkUnsupported);
}

}  // namespace
}  // namespace signet::ca
