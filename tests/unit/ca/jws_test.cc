#include "ca/jose/jws.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "ca/crypto/handle.h"

namespace signet::ca {
namespace {

std::string Encode(std::string_view text) { return EncodeBase64Url(AsBytes(text)); }

// A token over `header` as it stands, with a payload and a signature that decode.
std::string TokenWith(std::string_view header) { return Encode(header) + ".e30.AAAA"; }

Reason ReasonOf(std::string_view token) {
  const auto jws = ParseCompactJws(token);
  REQUIRE_FALSE(jws);
  CHECK(jws.error().code == Code::kInvalidArgument);
  return jws.error().reason;
}

PublicKey EcKey(std::string_view spki_prefix_hex, std::string_view x, std::string_view y) {
  Bytes spki = DecodeHex(spki_prefix_hex).value();
  for (const std::string_view coordinate : {x, y}) {
    const Bytes bytes = DecodeBase64Url(coordinate).value();
    spki.insert(spki.end(), bytes.begin(), bytes.end());
  }
  return PublicKey::FromSpki(spki).value();
}

// A key that PrivateKey::Generate() does not make.
PrivateKey FromOpenSsl(EVP_PKEY* made) {
  const PkeyHandle key(made);
  REQUIRE(key);
  const Pkcs8Handle pkcs8(EVP_PKEY2PKCS8(key.get()));
  std::uint8_t* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), &der);
  REQUIRE(size > 0);
  auto result = PrivateKey::FromPkcs8({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  REQUIRE(result);
  return *result;
}

const PrivateKey& KeyOf(std::string_view name) {
  static const PrivateKey p256 = PrivateKey::Generate(KeyType::kEcP256).value();
  static const PrivateKey p384 = PrivateKey::Generate(KeyType::kEcP384).value();
  static const PrivateKey p521 = FromOpenSsl(EVP_EC_gen("P-521"));
  static const PrivateKey rsa = PrivateKey::Generate(KeyType::kRsa2048).value();
  if (name == "P-256") return p256;
  if (name == "P-384") return p384;
  return name == "P-521" ? p521 : rsa;
}

const std::vector<std::pair<JwsAlgorithm, std::string>> kAll = {
    {JwsAlgorithm::kRs256, "RSA"},   {JwsAlgorithm::kRs384, "RSA"},
    {JwsAlgorithm::kRs512, "RSA"},   {JwsAlgorithm::kEs256, "P-256"},
    {JwsAlgorithm::kEs384, "P-384"}, {JwsAlgorithm::kEs512, "P-521"},
    {JwsAlgorithm::kPs256, "RSA"},   {JwsAlgorithm::kPs384, "RSA"},
    {JwsAlgorithm::kPs512, "RSA"}};

// A token of P-256 whose signature is replaced by these bytes.
Status VerifyWithSignature(ByteView signature) {
  const std::string token = SignCompactJws(KeyOf("P-256"), JwsAlgorithm::kEs256, "k", "{}").value();
  const std::string unsigned_part = token.substr(0, token.rfind('.') + 1);
  const auto jws = ParseCompactJws(unsigned_part + EncodeBase64Url(signature));
  REQUIRE(jws);
  return VerifyJws(*jws, KeyOf("P-256").public_key());
}

TEST_CASE("the signatures of RFC 7515, A.3 and A.4 verify") {
  const auto es256 = ParseCompactJws(
      "eyJhbGciOiJFUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  REQUIRE(es256);
  CHECK(VerifyJws(*es256, EcKey("3059301306072a8648ce3d020106082a8648ce3d03010703420004",
                                "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                                "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")));
  const auto es512 = ParseCompactJws(
      "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
      "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_"
      "7XdtAG8GaSwF"
      "KdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn");
  REQUIRE(es512);
  CHECK(VerifyJws(*es512, EcKey("30819b301006072a8648ce3d020106052b810400230381860004",
                                "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_"
                                "NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
                                "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-"
                                "x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2")));
}

TEST_CASE("each algorithm of JWT-SVID 2.1 prints, parses, signs and verifies") {
  for (const auto& [algorithm, key] : kAll) {
    INFO(JwsAlgorithmName(algorithm));
    CHECK(ParseJwsAlgorithm(JwsAlgorithmName(algorithm)) == algorithm);
    const auto token = SignCompactJws(KeyOf(key), algorithm, "key \"1\"", R"({"sub":"x"})");
    REQUIRE(token);
    const auto jws = ParseCompactJws(*token);
    REQUIRE(jws);
    CHECK(jws->header.algorithm == algorithm);
    CHECK(jws->header.key_id == "key \"1\"");
    CHECK(jws->header.type == "JWT");
    CHECK(jws->header.others.empty());
    CHECK(AsText(jws->payload) == R"({"sub":"x"})");
    CHECK(VerifyJws(*jws, KeyOf(key).public_key()));
  }
}

TEST_CASE("a changed header, payload or signature does not verify") {
  for (const auto& [algorithm, key] : kAll) {
    const auto token = SignCompactJws(KeyOf(key), algorithm, "k", R"({"sub":"x"})");
    const Jws good = ParseCompactJws(token.value()).value();
    Jws bad = good;
    bad.signing_input[3] = static_cast<char>(bad.signing_input[3] ^ 1);
    CHECK(VerifyJws(bad, KeyOf(key).public_key()).error().reason == kSignatureInvalid);
    bad = good;
    bad.signing_input.back() = static_cast<char>(bad.signing_input.back() ^ 1);
    CHECK(VerifyJws(bad, KeyOf(key).public_key()).error().reason == kSignatureInvalid);
    bad = good;
    bad.signature.back() = static_cast<std::uint8_t>(bad.signature.back() ^ 1);
    CHECK(VerifyJws(bad, KeyOf(key).public_key()).error().reason == kSignatureInvalid);
    bad = good;
    bad.signature.pop_back();
    CHECK(VerifyJws(bad, KeyOf(key).public_key()).error().reason == kSignatureInvalid);
  }
}

TEST_CASE("a key of the right algorithm that is another one does not verify") {
  const auto other = PrivateKey::Generate(KeyType::kEcP256);
  const auto token = SignCompactJws(KeyOf("P-256"), JwsAlgorithm::kEs256, "k", "{}");
  const auto jws = ParseCompactJws(token.value());
  CHECK(VerifyJws(jws.value(), other->public_key()).error().reason == kSignatureInvalid);
}

TEST_CASE("an algorithm goes with its own kind of key and curve only") {
  for (const auto& [algorithm, fitting] : kAll) {
    for (const std::string key : {"P-256", "P-384", "P-521", "RSA"}) {
      INFO(JwsAlgorithmName(algorithm) << " with " << key);
      const auto fits = CheckKeyFits(algorithm, KeyOf(key).public_key());
      const auto token = SignCompactJws(KeyOf(key), algorithm, "k", "{}");
      CHECK(fits.has_value() == (key == fitting));
      CHECK(token.has_value() == (key == fitting));
      if (key == fitting) continue;
      CHECK(fits.error().reason == kJwsKeyUnfit);
      CHECK(token.error().reason == kJwsKeyUnfit);
      Jws jws = ParseCompactJws(TokenWith(R"({"alg":"ES256"})")).value();
      jws.header.algorithm = algorithm;
      CHECK(VerifyJws(jws, KeyOf(key).public_key()).error().reason == kJwsKeyUnfit);
    }
  }
}

TEST_CASE("RSA keys that are too small, too large or not plain RSA fit no algorithm") {
  const PrivateKey small = FromOpenSsl(EVP_RSA_gen(1024));
  CHECK(CheckKeyFits(JwsAlgorithm::kRs256, small.public_key()).error().reason == kJwsKeyUnfit);
  const PrivateKey edwards = FromOpenSsl(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  for (const auto& [algorithm, key] : kAll)
    CHECK(CheckKeyFits(algorithm, edwards.public_key()).error().reason == kJwsKeyUnfit);
}

TEST_CASE("a curve that is spelt out is not the named one") {
  EVP_PKEY* made = EVP_EC_gen("P-256");
  REQUIRE(EVP_PKEY_set_utf8_string_param(made, OSSL_PKEY_PARAM_EC_ENCODING,
                                         OSSL_PKEY_EC_ENCODING_EXPLICIT) == 1);
  std::uint8_t* der = nullptr;
  const int size = i2d_PUBKEY(made, &der);
  REQUIRE(size > 91);
  const auto key = PublicKey::FromSpki({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  EVP_PKEY_free(made);
  REQUIRE(key);
  CHECK(CheckKeyFits(JwsAlgorithm::kEs256, *key).error().reason == kJwsKeyUnfit);
}

TEST_CASE("ECDSA signatures always have the curve's full width, leading zeros kept") {
  // One r or s in 128 is short of its first byte.
  for (int i = 0; i < 600; ++i) {
    const auto token = SignCompactJws(KeyOf("P-256"), JwsAlgorithm::kEs256, "k", "{}");
    const auto jws = ParseCompactJws(token.value());
    REQUIRE(jws->signature.size() == 64);
    REQUIRE(VerifyJws(*jws, KeyOf("P-256").public_key()));
  }
}

TEST_CASE("ECDSA signatures that are zero, out of range, of another width or in DER are refused") {
  CHECK(VerifyWithSignature(Bytes(64, 0)).error().reason == kSignatureInvalid);
  CHECK(VerifyWithSignature(Bytes(64, 0xff)).error().reason == kSignatureInvalid);
  CHECK(VerifyWithSignature(Bytes()).error().reason == kSignatureInvalid);
  CHECK(VerifyWithSignature(Bytes(63, 1)).error().reason == kSignatureInvalid);
  CHECK(VerifyWithSignature(Bytes(65, 1)).error().reason == kSignatureInvalid);
  const auto der = KeyOf("P-256").Sign(SignatureAlgorithm::kEcdsaSha256, AsBytes("x"));
  CHECK(VerifyWithSignature(der.value()).error().reason == kSignatureInvalid);
}

TEST_CASE("algorithms beyond the list are refused, whatever else the header says") {
  for (const std::string name : {"none", "None", "HS256", "HS512", "EdDSA", "ES256K", "es256", "",
                                 "RS1", "PS256 ", "RSA-OAEP"}) {
    INFO(name);
    CHECK(ReasonOf(TokenWith(R"({"alg":")" + name + R"("})")) == kJwsAlgorithmRefused);
    CHECK(ReasonOf(TokenWith(R"({"typ":5,"crit":[],"alg":")" + name + R"("})")) ==
          kJwsAlgorithmRefused);
  }
  CHECK(ReasonOf(TokenWith("{}")) == kJwsAlgorithmRefused);
  CHECK(ReasonOf(TokenWith(R"({"alg":null})")) == kJwsAlgorithmRefused);
  CHECK(ReasonOf(TokenWith(R"({"alg":["ES256"]})")) == kJwsAlgorithmRefused);
  CHECK(ReasonOf(Encode(R"({"alg":"none"})") + ".!!!.") == kJwsAlgorithmRefused);
}

TEST_CASE("a type that is neither JWT nor JOSE is refused; none is fine") {
  CHECK(ParseCompactJws(TokenWith(R"({"alg":"ES256"})")));
  CHECK(ParseCompactJws(TokenWith(R"({"alg":"ES256","typ":"JWT"})")));
  CHECK(ParseCompactJws(TokenWith(R"({"alg":"ES256","typ":"JOSE"})")));
  for (const std::string type :
       {R"("jwt")", R"("")", R"("wit+jwt")", R"("JWT ")", "null", "1", R"(["JWT"])"}) {
    INFO(type);
    CHECK(ReasonOf(TokenWith(R"({"alg":"ES256","typ":)" + type + "}")) == kJwsTypeRefused);
  }
}

TEST_CASE("critical headers are refused, known or not, even an empty list of them") {
  for (const std::string crit : {"[]", R"(["b64"])", R"(["alg"])", "null", R"("x")"}) {
    INFO(crit);
    CHECK(ReasonOf(TokenWith(R"({"alg":"ES256","b64":false,"crit":)" + crit + "}")) ==
          kJwsCriticalRefused);
  }
}

TEST_CASE("other headers are named, not used") {
  const auto jws =
      ParseCompactJws(TokenWith(R"({"x5c":["AAAA"],"alg":"ES256","jku":"https://127.0.0.1"})"));
  REQUIRE(jws);
  CHECK(jws->header.others == std::vector<std::string>{"jku", "x5c"});
  CHECK_FALSE(jws->header.key_id);
}

TEST_CASE("a header that is not one strict JSON object is refused") {
  for (const std::string header :
       {"", "hello", "[]", "\"ES256\"", "{\"alg\":\"ES256\"", "{\"alg\":\"ES256\"}{}",
        R"({"alg":"ES256","alg":"ES256"})", R"({"alg":"none","\u0061lg":"ES256"})",
        R"({"alg":"ES256","x":{"a":1,"a":2}})", "{\"alg\":\"ES256\",\"kid\":\"\xff\"}",
        "\xef\xbb\xbf{\"alg\":\"ES256\"}", R"({"alg":"ES256","kid":5})",
        R"({"alg":"ES256","kid":null})", R"({"alg":"ES256","x":1e999})"}) {
    INFO(header);
    CHECK(ReasonOf(TokenWith(header)) == kJwsMalformed);
  }
  CHECK(ReasonOf(TokenWith(R"({"alg":"ES256","x":)" + std::string(40, '[') + std::string(40, ']') +
                           "}")) == kJwsMalformed);
}

TEST_CASE("a token is three parts of base64url and nothing else") {
  const std::string header = Encode(R"({"alg":"ES256"})");
  REQUIRE(ParseCompactJws(header + ".e30.AAAA"));
  REQUIRE(ParseCompactJws(header + ".."));
  for (const std::string& token :
       {std::string(), std::string("garbage"), std::string(".."), header, header + ".e30",
        header + ".e30.AAAA.", header + ".e30.AAAA.e30.AAAA", " " + header + ".e30.AAAA",
        header + ".e30.AAAA\n", header + "==.e30.AAAA", header + ".e30=.AAAA",
        header + ".e30.AAA=", header + ".e31.AAAA", header + ".e30.AAB", header + ".e30.A",
        header + ".e3+.AAAA", header + ".e30.AA/A", "Bearer " + header + ".e30.AAAA",
        std::string(R"({"payload":"","protected":"","signature":""})")}) {
    INFO(token);
    CHECK(ReasonOf(token) == kJwsMalformed);
  }
}

TEST_CASE("a token beyond the limit is refused before it is read") {
  const std::string token = TokenWith(R"({"alg":"ES256"})");
  CHECK(ParseCompactJws(token, token.size()));
  const auto refused = ParseCompactJws(token, token.size() - 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kJwsTooLong);
  CHECK(ReasonOf(std::string(kMaxJwsBytes + 1, '.')) == kJwsTooLong);
  CHECK(ReasonOf(std::string(kMaxJwsBytes, '.')) == kJwsMalformed);
}

TEST_CASE("an authority's key names the algorithm it signs with") {
  CHECK(JwsAlgorithmOf(KeyType::kEcP256) == JwsAlgorithm::kEs256);
  CHECK(JwsAlgorithmOf(KeyType::kEcP384) == JwsAlgorithm::kEs384);
  CHECK(JwsAlgorithmOf(KeyType::kRsa2048) == JwsAlgorithm::kRs256);
  CHECK(JwsAlgorithmOf(KeyType::kRsa4096) == JwsAlgorithm::kRs256);
}

}  // namespace
}  // namespace signet::ca
