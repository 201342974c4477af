#include "identity/svid/jwt_svid.h"

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/support/fake_clock.h"

namespace signet::identity {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kNow = test::FakeClock::kDefaultUnixSeconds;

const ca::PrivateKey& Key() {
  static const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  return key;
}
const ca::PrivateKey& ForeignKey() {
  static const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  return key;
}

JwtBundleAuthority Authority(std::string key_id, const ca::PrivateKey& key) {
  return {std::move(key_id), ToBytes(key.public_key().spki()), 0, false};
}

Bundle BundleOf(std::string_view name, std::vector<JwtBundleAuthority> authorities) {
  Bundle bundle;
  bundle.trust_domain = TrustDomain::Parse(name).value();
  bundle.jwt_authorities = std::move(authorities);
  return bundle;
}

// example.org and other.org name their different keys alike; empty.org has none.
BundleMap Bundles() {
  BundleMap bundles;
  for (Bundle& bundle : std::vector<Bundle>{BundleOf("example.org", {Authority("k", Key())}),
                                            BundleOf("other.org", {Authority("k", ForeignKey())}),
                                            BundleOf("empty.org", {})})
    bundles[bundle.trust_domain] = bundle;
  return bundles;
}

json Claims() {
  return {
      {"sub", "spiffe://example.org/w"}, {"aud", {"a", "b"}}, {"exp", kNow + 300}, {"iat", kNow}};
}

std::string Signed(const std::string& payload, const ca::PrivateKey& key = Key(),
                   std::string_view key_id = "k") {
  return ca::SignCompactJws(key, ca::JwsAlgorithm::kEs256, key_id, payload).value();
}

// A token over any header, signed by Key() as ES256.
std::string SignedWithHeader(std::string_view header, const std::string& payload) {
  const std::string genuine = Signed(payload);
  const std::string input =
      EncodeBase64Url(AsBytes(header)) + "." +
      genuine.substr(genuine.find('.') + 1, genuine.rfind('.') - genuine.find('.') - 1);
  // A DER signature of P-256 is two INTEGERs, each with a header of two bytes.
  const Bytes der = Key().Sign(ca::SignatureAlgorithm::kEcdsaSha256, AsBytes(input)).value();
  Bytes jose;
  std::size_t at = 2;
  for (int i = 0; i < 2; ++i) {
    const std::size_t size = der[at + 1];
    const std::size_t padding = size > 32 ? size - 32 : 0;
    jose.insert(jose.end(), size < 32 ? 32 - size : 0, 0);
    jose.insert(jose.end(), der.begin() + static_cast<std::ptrdiff_t>(at + 2 + padding),
                der.begin() + static_cast<std::ptrdiff_t>(at + 2 + size));
    at += 2 + size;
  }
  return input + "." + EncodeBase64Url(jose);
}

Result<JwtSvid> Verify(std::string_view token, Duration leeway = Duration::zero(),
                       WallTime now = FromUnixSeconds(kNow), std::string_view audience = "a") {
  return ParseAndVerifyJwtSvid(token, Bundles(), audience, now, leeway);
}

Reason ReasonOf(const Result<JwtSvid>& result) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Code::kInvalidArgument);
  return result.error().reason;
}

// The reason for a well-signed token whose claims are changed by `change`.
Reason ReasonWith(const std::function<void(json&)>& change, Duration leeway = Duration::zero()) {
  json claims = Claims();
  change(claims);
  return ReasonOf(Verify(Signed(claims.dump()), leeway));
}

bool AcceptsWith(const std::function<void(json&)>& change, Duration leeway = Duration::zero()) {
  json claims = Claims();
  change(claims);
  return Verify(Signed(claims.dump()), leeway).has_value();
}

TEST_CASE("a good token answers its subject, audiences, times and all its claims") {
  json claims = Claims();
  claims["groups"] = {"x", "y"};
  const auto svid = Verify(Signed(claims.dump()));
  REQUIRE(svid);
  CHECK(svid->id.ToString() == "spiffe://example.org/w");
  CHECK(svid->audience == std::vector<std::string>{"a", "b"});
  CHECK(svid->expires_at == FromUnixSeconds(kNow + 300));
  CHECK(svid->issued_at == FromUnixSeconds(kNow));
  CHECK(svid->key_id == "k");
  CHECK(json::parse(svid->claims_json) == claims);
}

TEST_CASE("one audience as a bare text comes back as a list") {
  json claims = Claims();
  claims["aud"] = "a";
  const auto svid = Verify(Signed(claims.dump()));
  REQUIRE(svid);
  CHECK(svid->audience == std::vector<std::string>{"a"});
  CHECK(json::parse(svid->claims_json)["aud"] == json::array({"a"}));
}

TEST_CASE("any of a token's audiences will do, compared as bytes") {
  const std::string token = Signed(Claims().dump());
  CHECK(Verify(token, Duration::zero(), FromUnixSeconds(kNow), "b"));
  for (const char* other : {"c", "A", "a ", "ab", "*"})
    CHECK(ReasonOf(Verify(token, Duration::zero(), FromUnixSeconds(kNow), other)) ==
          kJwtAudienceMismatch);
}

TEST_CASE("without an audience to verify for, nothing is verified") {
  CHECK(ReasonOf(Verify(Signed(Claims().dump()), Duration::zero(), FromUnixSeconds(kNow), "")) ==
        kJwtAudienceNotStated);
  CHECK(ReasonOf(Verify("garbage", Duration::zero(), FromUnixSeconds(kNow), "")) ==
        kJwtAudienceNotStated);
}

TEST_CASE("what is no compact JWS of an allowed algorithm and type is refused as such") {
  CHECK(ReasonOf(Verify("garbage")) == ca::kJwsMalformed);
  CHECK(ReasonOf(Verify(std::string(ca::kMaxJwsBytes + 1, 'a'))) == ca::kJwsTooLong);
  const std::string payload = Claims().dump();
  const auto with = [&](std::string_view header) {
    return ReasonOf(Verify(SignedWithHeader(header, payload)));
  };
  CHECK(with(R"({"alg":"none","kid":"k"})") == ca::kJwsAlgorithmRefused);
  CHECK(with(R"({"alg":"HS256","kid":"k"})") == ca::kJwsAlgorithmRefused);
  CHECK(with(R"({"alg":"ES256","kid":"k","typ":"wit+jwt"})") == ca::kJwsTypeRefused);
  CHECK(with(R"({"alg":"ES256","kid":"k","crit":["x"],"x":1})") == ca::kJwsCriticalRefused);
  CHECK(with(R"({"alg":"RS256","kid":"k"})") == ca::kJwsKeyUnfit);
  CHECK(Verify(SignedWithHeader(R"({"alg":"ES256","kid":"k"})", payload)));
  CHECK(Verify(SignedWithHeader(R"({"alg":"ES256","kid":"k","typ":"JOSE"})", payload)));
}

TEST_CASE("headers beyond alg, kid and typ are refused, however well signed") {
  for (const std::string extra : {R"("jku":"https://127.0.0.1/jwks")", R"("x5c":["AAAA"])",
                                  R"("jwk":{})", R"("cty":"JWT")"}) {
    INFO(extra);
    CHECK(ReasonOf(Verify(SignedWithHeader(R"({"alg":"ES256","kid":"k",)" + extra + "}",
                                           Claims().dump()))) == kJwtHeaderNotAllowed);
  }
}

TEST_CASE("a token that names no key is refused") {
  CHECK(ReasonOf(Verify(SignedWithHeader(R"({"alg":"ES256"})", Claims().dump()))) ==
        kJwtKeyIdMissing);
  CHECK(ReasonOf(Verify(Signed(Claims().dump(), Key(), ""))) == kJwtKeyIdMissing);
}

TEST_CASE("a payload that is not one strict JSON object is refused") {
  const std::string good = Claims().dump();
  for (const std::string& payload :
       {std::string(), std::string("hello"), std::string("[]"), std::string("null"), good + "{}",
        good + std::string(1, '\0'), "\xef\xbb\xbf" + good, std::string("{\"sub\":\"\xff\"}"),
        good.substr(0, good.size() - 1) + R"(,"exp":1})",
        good.substr(0, good.size() - 1) + R"(,"\u0065xp":1})",
        good.substr(0, good.size() - 1) + R"(,"x":{"y":1,"y":1}})",
        good.substr(0, good.size() - 1) + ",\"x\":" + std::string(40, '[') + std::string(40, ']') +
            "}"}) {
    INFO(payload);
    CHECK(ReasonOf(Verify(Signed(payload))) == kJwtPayloadMalformed);
  }
}

TEST_CASE("a subject that is missing or no workload's SPIFFE ID is refused") {
  CHECK(ReasonWith([](json& c) { c.erase("sub"); }) == kJwtSubjectMissing);
  CHECK(ReasonWith([](json& c) { c["sub"] = nullptr; }) == kJwtSubjectMissing);
  for (const json& subject :
       {json(""), json("w"), json("https://example.org/w"), json("SPIFFE://example.org/w"),
        json("spiffe://Example.org/w"), json("spiffe://example.org"), json("spiffe://example.org/"),
        json("spiffe://example.org/w/"), json("spiffe://example.org/w\n"), json(5),
        json::array({"spiffe://example.org/w"})}) {
    INFO(subject);
    CHECK(ReasonWith([&](json& c) { c["sub"] = subject; }) == kJwtSubjectInvalid);
  }
}

TEST_CASE("an audience claim that is missing, empty or not made of texts is refused") {
  CHECK(ReasonWith([](json& c) { c.erase("aud"); }) == kJwtAudienceMissing);
  CHECK(ReasonWith([](json& c) { c["aud"] = nullptr; }) == kJwtAudienceMissing);
  CHECK(ReasonWith([](json& c) { c["aud"] = json::array(); }) == kJwtAudienceMissing);
  CHECK(ReasonWith([](json& c) { c["aud"] = {{"a", true}}; }) == kJwtClaimMalformed);
  CHECK(ReasonWith([](json& c) { c["aud"] = json::array({"a", 5}); }) == kJwtClaimMalformed);
  CHECK(ReasonWith([](json& c) { c["aud"] = json::array({nullptr, "a"}); }) == kJwtClaimMalformed);
  CHECK(ReasonWith([](json& c) { c["aud"] = ""; }) == kJwtAudienceMismatch);
  CHECK(ReasonWith([](json& c) { c["aud"] = json::array({""}); }) == kJwtAudienceMismatch);
}

TEST_CASE("times that are missing or no numbers in range are refused") {
  CHECK(ReasonWith([](json& c) { c.erase("exp"); }) == kJwtExpiryMissing);
  for (const char* name : {"exp", "nbf", "iat"}) {
    for (const json& time : {json(nullptr), json("4102444800"), json(true), json::array({1}),
                             json(9223372036854775808ULL), json(1e19), json(-1e300)}) {
      INFO(name << " " << time);
      CHECK(ReasonWith([&](json& c) { c[name] = time; }) == kJwtClaimMalformed);
    }
  }
}

TEST_CASE("a token is refused from its expiry on, give or take the leeway") {
  const auto expiring = [](json value) {
    return [value = std::move(value)](json& c) { c["exp"] = value; };
  };
  CHECK(AcceptsWith(expiring(kNow + 1)));
  CHECK(AcceptsWith(expiring(kNow + 0.5)));
  CHECK(AcceptsWith(expiring(9223372036854775807)));
  CHECK(AcceptsWith(expiring(1e18)));
  for (const json& past : {json(kNow), json(kNow - 1), json(kNow - 0.5), json(0), json(-1),
                           json(-9223372036854775807 - 1), json(-1e18)})
    CHECK(ReasonWith(expiring(past)) == kJwtExpired);
  CHECK(AcceptsWith(expiring(kNow - 59), seconds(60)));
  CHECK(ReasonWith(expiring(kNow - 60), seconds(60)) == kJwtExpired);
  const std::string token = Signed(Claims().dump());
  CHECK(Verify(token, Duration::zero(), FromUnixSeconds(kNow + 300) - milliseconds(1)));
  CHECK(ReasonOf(Verify(token, Duration::zero(), FromUnixSeconds(kNow + 300))) == kJwtExpired);
}

TEST_CASE("a token is refused before its nbf and before it was issued, give or take the leeway") {
  const auto [name, reason] =
      GENERATE(table<std::string, Reason>({{"nbf", kJwtNotYetValid}, {"iat", kJwtIssuedInFuture}}));
  const auto starting = [claim = name](json value) {
    return [claim, value = std::move(value)](json& c) { c[claim] = value; };
  };
  CHECK(AcceptsWith(starting(kNow)));
  CHECK(AcceptsWith(starting(-1)));
  CHECK(ReasonWith(starting(kNow + 1)) == reason);
  CHECK(ReasonWith(starting(kNow + 0.5)) == reason);
  CHECK(ReasonWith(starting(4e18)) == reason);
  CHECK(AcceptsWith(starting(kNow + 60), seconds(60)));
  CHECK(ReasonWith(starting(kNow + 61), seconds(60)) == reason);
}

TEST_CASE("a token without iat is fine") {
  json claims = Claims();
  claims.erase("iat");
  const auto svid = Verify(Signed(claims.dump()));
  REQUIRE(svid);
  CHECK_FALSE(svid->issued_at);
}

TEST_CASE("the key comes from the JWT authorities of the subject's own trust domain only") {
  const auto subject = [](const char* id) {
    json claims = Claims();
    claims["sub"] = id;
    return claims.dump();
  };
  CHECK(Verify(Signed(subject("spiffe://other.org/w"), ForeignKey())));
  CHECK(ReasonOf(Verify(Signed(subject("spiffe://other.org/w"), Key()))) == ca::kSignatureInvalid);
  CHECK(ReasonOf(Verify(Signed(subject("spiffe://example.org/w"), ForeignKey()))) ==
        ca::kSignatureInvalid);
  CHECK(ReasonOf(Verify(Signed(subject("spiffe://unknown.org/w")))) == kJwtNoAuthorities);
  CHECK(ReasonOf(Verify(Signed(subject("spiffe://empty.org/w")))) == kJwtNoAuthorities);
  CHECK(ReasonOf(Verify(Signed(subject("spiffe://example.org/w"), Key(), "../k"))) ==
        kJwtAuthorityUnknown);
}

TEST_CASE("an authority past its stated end verifies nothing") {
  BundleMap bundles = Bundles();
  bundles.at(TrustDomain::Parse("example.org").value()).jwt_authorities.front().expires_at =
      kNow + 10;
  json claims = Claims();
  const std::string token = Signed(claims.dump());
  const auto verify = [&](std::int64_t now, Duration leeway) {
    return ParseAndVerifyJwtSvid(token, bundles, "a", FromUnixSeconds(now), leeway);
  };
  CHECK(verify(kNow + 9, Duration::zero()));
  CHECK(ReasonOf(verify(kNow + 10, Duration::zero())) == kJwtAuthorityEnded);
  CHECK(verify(kNow + 10, seconds(1)));
}

TEST_CASE("an authority whose key is unreadable verifies nothing") {
  BundleMap bundles = Bundles();
  bundles.at(TrustDomain::Parse("example.org").value()).jwt_authorities.front().public_key =
      Bytes(91, 0);
  CHECK(ReasonOf(ParseAndVerifyJwtSvid(Signed(Claims().dump()), bundles, "a", FromUnixSeconds(kNow),
                                       Duration::zero())) == ca::kKeyMalformed);
}

TEST_CASE("a changed payload is refused, and no message tells the token") {
  const std::string token = Signed(Claims().dump());
  json claims = Claims();
  claims["sub"] = "spiffe://example.org/admin";
  const std::string tampered = token.substr(0, token.find('.') + 1) +
                               EncodeBase64Url(AsBytes(claims.dump())) +
                               token.substr(token.rfind('.'));
  const auto refused = Verify(tampered);
  CHECK(ReasonOf(refused) == ca::kSignatureInvalid);
  CHECK(refused.error().Message().find(token.substr(token.rfind('.') + 1)) == std::string::npos);
}

}  // namespace
}  // namespace signet::identity
