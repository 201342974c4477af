#include "ca/crypto/key.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

namespace signet::ca {
namespace {

const std::vector<std::pair<KeyType, std::string>> kAllTypes = {{KeyType::kEcP256, "ec-p256"},
                                                                {KeyType::kEcP384, "ec-p384"},
                                                                {KeyType::kRsa2048, "rsa-2048"},
                                                                {KeyType::kRsa4096, "rsa-4096"}};

PublicKey Spki(std::string_view hex) {
  const auto der = DecodeHex(hex);
  REQUIRE(der);
  const auto key = PublicKey::FromSpki(*der);
  REQUIRE(key);
  return *key;
}

// The base point of P-256 (FIPS 186-4, D.1.2.3) as a public key.
constexpr std::string_view kBasePoint =
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

}  // namespace

TEST_CASE("key types print and parse as SPIRE names them") {
  for (const auto& [type, name] : kAllTypes) {
    CHECK(KeyTypeName(type) == name);
    CHECK(ParseKeyType(name) == type);
  }
  for (const char* bad : {"", "EC-P256", "rsa-1024", "ed25519", "ec-p256 "}) {
    CHECK(ParseKeyType(bad).error().reason == kKeyTypeRefused);
  }
}

TEST_CASE("a key of each type signs, survives PKCS#8 and SPKI, and its signatures verify") {
  for (const auto& [type, name] : kAllTypes) {
    INFO(name);
    const auto key = PrivateKey::Generate(type);
    REQUIRE(key);
    CHECK(key->public_key().HasType(type));
    const auto reread = PrivateKey::FromPkcs8(key->ToPkcs8().view());
    REQUIRE(reread);
    CHECK(reread->public_key() == key->public_key());
    const auto public_key = PublicKey::FromSpki(key->public_key().spki());
    REQUIRE(public_key);
    CHECK(*public_key == key->public_key());
    CHECK(public_key->Type() == type);
    CHECK(public_key->SubjectKeyId() == key->public_key().SubjectKeyId());
    const SignatureAlgorithm algorithm = CertificateAlgorithm(type);
    const auto signature = reread->Sign(algorithm, AsBytes("message"));
    REQUIRE(signature);
    CHECK(public_key->Verify(algorithm, AsBytes("message"), *signature));
    CHECK(public_key->Verify(algorithm, AsBytes("messagf"), *signature).error().reason ==
          kSignatureInvalid);
    Bytes broken = *signature;
    broken.back() ^= 1;
    CHECK(public_key->Verify(algorithm, AsBytes("message"), broken).error().reason ==
          kSignatureInvalid);
    CHECK(public_key->Verify(algorithm, AsBytes("message"), {}).error().reason ==
          kSignatureInvalid);
  }
}

TEST_CASE("each algorithm works with the keys it fits and with no others") {
  const auto ec = PrivateKey::Generate(KeyType::kEcP256);
  const auto rsa = PrivateKey::Generate(KeyType::kRsa2048);
  REQUIRE((ec && rsa));
  using enum SignatureAlgorithm;
  for (const auto algorithm : {kEcdsaSha256, kEcdsaSha384, kEcdsaSha512}) {
    const auto signature = ec->Sign(algorithm, AsBytes("m"));
    REQUIRE(signature);
    CHECK(ec->public_key().Verify(algorithm, AsBytes("m"), *signature));
    CHECK(rsa->Sign(algorithm, AsBytes("m")).error().reason == kSigningFailed);
    CHECK(rsa->public_key().Verify(algorithm, AsBytes("m"), *signature).error().reason ==
          kSignatureInvalid);
  }
  for (const auto algorithm : {kRsaPkcs1Sha256, kRsaPkcs1Sha384, kRsaPkcs1Sha512, kRsaPssSha256,
                               kRsaPssSha384, kRsaPssSha512}) {
    const auto signature = rsa->Sign(algorithm, AsBytes("m"));
    REQUIRE(signature);
    CHECK(rsa->public_key().Verify(algorithm, AsBytes("m"), *signature));
    CHECK(ec->Sign(algorithm, AsBytes("m")).error().reason == kSigningFailed);
    CHECK(ec->public_key().Verify(algorithm, AsBytes("m"), *signature).error().reason ==
          kSignatureInvalid);
  }
  const auto pss = rsa->Sign(kRsaPssSha256, AsBytes("m"));
  CHECK_FALSE(rsa->public_key().Verify(kRsaPkcs1Sha256, AsBytes("m"), *pss));
}

TEST_CASE("the subject key id is SHA-1 over the key bits alone") {
  // sha1 of the 65 bytes of the base point, by `sha1sum`.
  CHECK(EncodeHex(Spki(kBasePoint).SubjectKeyId()) == "b467a3999eb5efa671de0032f08a9c9e5efda0e1");
}

TEST_CASE("a P-256 point off the curve is refused on the fast path") {
  auto der = *DecodeHex(kBasePoint);
  der.back() ^= 1;
  CHECK(PublicKey::FromSpki(der).error().reason == kKeyMalformed);
  std::fill(der.begin() + 27, der.end(), 0);
  CHECK(PublicKey::FromSpki(der).error().reason == kKeyMalformed);
  std::fill(der.begin() + 27, der.end(), 0xff);  // coordinates beyond the prime
  CHECK(PublicKey::FromSpki(der).error().reason == kKeyMalformed);
}

TEST_CASE("what is not exactly one SubjectPublicKeyInfo in DER is refused") {
  const Bytes good = *DecodeHex(kBasePoint);
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK(PublicKey::FromSpki(ByteView(good).first(size)).error().reason == kKeyMalformed);
  }
  Bytes longer = good;
  longer.push_back(0);
  CHECK(PublicKey::FromSpki(longer).error().reason == kKeyMalformed);
  // The same key with its outer length in the long form: BER, not DER.
  Bytes ber = {0x30, 0x81, 0x59};
  ber.insert(ber.end(), good.begin() + 2, good.end());
  CHECK(PublicKey::FromSpki(ber).error().reason == kKeyMalformed);
  CHECK(PublicKey::FromSpki(Bytes(5000, 0x30)).error().reason == kKeyMalformed);
}

TEST_CASE("keys outside the list are read but have no type") {
  // Ed25519 (RFC 8410, 10.1).
  const auto ed25519 = Spki(
      "302a300506032b657003210019bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
  CHECK(ed25519.Type().error().reason == kKeyTypeRefused);
  CHECK(ed25519.Verify(SignatureAlgorithm::kEcdsaSha256, {}, {}).error().reason ==
        kSignatureInvalid);
  // The base point of P-256 again, compressed (y is odd).
  const auto compressed = Spki(
      "3039301306072a8648ce3d020106082a8648ce3d030107032200036b17d1f2e12c4247f8bce6e563a440f277037d"
      "812deb33a0f4a13945d8"
      "98c296");
  CHECK(compressed.Type().error().reason == kKeyTypeRefused);
  EVP_PKEY* weak = EVP_RSA_gen(1024);
  REQUIRE(weak != nullptr);
  const auto small = PublicKey::FromHandle(weak);
  EVP_PKEY_free(weak);
  REQUIRE(small);
  CHECK(small->Type().error().reason == kKeyTypeRefused);
}

TEST_CASE("an RSA key with exponent 3 has no type") {
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nullptr);
  EVP_PKEY* made = nullptr;
  REQUIRE(EVP_PKEY_keygen_init(context) == 1);
  char bits[] = "rsa_keygen_bits", size[] = "2048", exponent[] = "rsa_keygen_pubexp", three[] = "3";
  REQUIRE(EVP_PKEY_CTX_ctrl_str(context, bits, size) == 1);
  REQUIRE(EVP_PKEY_CTX_ctrl_str(context, exponent, three) == 1);
  REQUIRE(EVP_PKEY_keygen(context, &made) == 1);
  const auto key = PublicKey::FromHandle(made);
  EVP_PKEY_free(made);
  EVP_PKEY_CTX_free(context);
  REQUIRE(key);
  CHECK(key->Type().error().reason == kKeyTypeRefused);
}

TEST_CASE("a private key that is cut, followed by bytes, or whose halves disagree is refused") {
  const auto key = PrivateKey::Generate(KeyType::kEcP256);
  const auto other = PrivateKey::Generate(KeyType::kEcP256);
  REQUIRE((key && other));
  const SecretBytes der = key->ToPkcs8();
  CHECK(PrivateKey::FromPkcs8({}).error().reason == kKeyMalformed);
  CHECK(PrivateKey::FromPkcs8(der.view().first(der.size() - 1)).error().reason == kKeyMalformed);
  Bytes longer = ToBytes(der.view());
  longer.push_back(0);
  CHECK(PrivateKey::FromPkcs8(longer).error().reason == kKeyMalformed);
  // OpenSSL's layout ends with the 65 bytes of the public point.
  Bytes mixed = ToBytes(der.view());
  const ByteView foreign = other->public_key().spki().last(65);
  std::copy(foreign.begin(), foreign.end(), mixed.end() - 65);
  CHECK(PrivateKey::FromPkcs8(mixed).error().reason == kKeyMalformed);
}

TEST_CASE("one key signs from several threads at once") {
  const auto key = PrivateKey::Generate(KeyType::kEcP256);
  REQUIRE(key);
  std::vector<std::vector<Bytes>> signatures(4);
  std::vector<std::thread> threads;
  for (auto& mine : signatures) {
    threads.emplace_back([&mine, &key] {
      for (int i = 0; i < 50; ++i)
        mine.push_back(key->Sign(SignatureAlgorithm::kEcdsaSha256, AsBytes("m")).value());
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& mine : signatures) {
    for (const Bytes& signature : mine) {
      CHECK(key->public_key().Verify(SignatureAlgorithm::kEcdsaSha256, AsBytes("m"), signature));
    }
  }
}

// Verification reuses objects of its thread: what one key left there must not count for another.
TEST_CASE("P-256 keys verify in turn on one thread, also after a point that is on no curve") {
  const auto algorithm = SignatureAlgorithm::kEcdsaSha256;
  const auto one = PrivateKey::Generate(KeyType::kEcP256);
  const auto two = PrivateKey::Generate(KeyType::kEcP256);
  REQUIRE((one && two));
  const Bytes by_one = one->Sign(algorithm, AsBytes("m")).value();
  const Bytes by_two = two->Sign(algorithm, AsBytes("m")).value();
  Bytes off_curve = ToBytes(one->public_key().spki());
  off_curve.back() ^= 1;
  for (int i = 0; i < 3; ++i) {
    CHECK(one->public_key().Verify(algorithm, AsBytes("m"), by_one));
    CHECK_FALSE(one->public_key().Verify(algorithm, AsBytes("m"), by_two));
    CHECK(two->public_key().Verify(algorithm, AsBytes("m"), by_two));
    CHECK_FALSE(two->public_key().Verify(algorithm, AsBytes("other"), by_two));
    CHECK(PublicKey::FromSpki(off_curve).error().reason == kKeyMalformed);
    CHECK_FALSE(one->public_key().Verify(algorithm, AsBytes("m"), by_two));
    CHECK(one->public_key().Verify(algorithm, AsBytes("m"), by_one));
  }
}

}  // namespace signet::ca
