#include "ca/authority/jwt_authority.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/fake_clock.h"

namespace signet::ca {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::seconds;

constexpr std::int64_t kNow = test::FakeClock::kDefaultUnixSeconds;

std::shared_ptr<const Signer> NewSigner(KeyType type = KeyType::kEcP256) {
  return std::make_shared<PrivateKey>(PrivateKey::Generate(type).value());
}

std::shared_ptr<const JwtAuthority> NewAuthority(std::int64_t not_after = kNow + 86400,
                                                 KeyType type = KeyType::kEcP256) {
  return JwtAuthority::Create("kid-1", FromUnixSeconds(not_after), NewSigner(type)).value();
}

JwtClaims SomeClaims() { return {"spiffe://example.org/w", {"b", "a"}, seconds(300), "", ""}; }

TEST_CASE("a token says who, for whom, from when and until when, and verifies with the key") {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
    const auto authority = NewAuthority(kNow + 86400, type);
    const auto prepared =
        authority->Prepare(SomeClaims(), FromUnixSeconds(kNow) + std::chrono::milliseconds(700));
    REQUIRE(prepared);
    CHECK(prepared->issued_at == FromUnixSeconds(kNow));
    CHECK(prepared->expires_at == FromUnixSeconds(kNow + 300));
    CHECK_FALSE(prepared->shortened);
    const auto token = authority->Sign(*prepared);
    REQUIRE(token);
    const auto jws = ParseCompactJws(*token);
    REQUIRE(jws);
    CHECK(jws->header.key_id == "kid-1");
    CHECK(jws->header.type == "JWT");
    CHECK(jws->header.algorithm == JwsAlgorithmOf(type));
    CHECK(jws->header.others.empty());
    CHECK(VerifyJws(*jws, authority->public_key()));
    CHECK(json::parse(jws->payload) == json{{"sub", "spiffe://example.org/w"},
                                            {"aud", {"b", "a"}},
                                            {"iat", kNow},
                                            {"exp", kNow + 300}});
  }
}

TEST_CASE("issuer and token id are said when given, one audience is still a list") {
  JwtClaims claims = SomeClaims();
  claims.audience = {"a"};
  claims.issuer = "https://issuer.example.org";
  claims.token_id = "7c1e";
  const auto prepared = NewAuthority()->Prepare(claims, FromUnixSeconds(kNow));
  REQUIRE(prepared);
  const json payload = json::parse(prepared->payload);
  CHECK(payload["iss"] == "https://issuer.example.org");
  CHECK(payload["jti"] == "7c1e");
  CHECK(payload["aud"] == json::array({"a"}));
}

TEST_CASE("a token never outlives its authority") {
  const auto authority = NewAuthority(kNow + 100);
  const auto prepared = authority->Prepare(SomeClaims(), FromUnixSeconds(kNow));
  REQUIRE(prepared);
  CHECK(prepared->expires_at == FromUnixSeconds(kNow + 100));
  CHECK(prepared->shortened);
  CHECK(json::parse(prepared->payload)["exp"] == kNow + 100);

  JwtClaims claims = SomeClaims();
  claims.lifetime = seconds(std::numeric_limits<std::int64_t>::max());
  CHECK(authority->Prepare(claims, FromUnixSeconds(kNow))->expires_at ==
        FromUnixSeconds(kNow + 100));
}

TEST_CASE("an authority that has ended signs nothing") {
  const auto authority = NewAuthority(kNow + 100);
  CHECK(authority->Prepare(SomeClaims(), FromUnixSeconds(kNow + 99)));
  for (const std::int64_t later : {100, 101, 86400}) {
    const auto refused = authority->Prepare(SomeClaims(), FromUnixSeconds(kNow + later));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().reason == kJwtAuthorityExpired);
    CHECK(refused.error().code == Code::kFailedPrecondition);
  }
}

TEST_CASE("claims that make no token are refused") {
  const auto authority = NewAuthority();
  const auto reason_with = [&](auto change) {
    JwtClaims claims = SomeClaims();
    change(claims);
    const auto refused = authority->Prepare(claims, FromUnixSeconds(kNow));
    REQUIRE_FALSE(refused);
    return refused.error().reason;
  };
  CHECK(reason_with([](JwtClaims& c) { c.subject.clear(); }) == kJwtClaimsRefused);
  CHECK(reason_with([](JwtClaims& c) { c.audience.clear(); }) == kJwtClaimsRefused);
  CHECK(reason_with([](JwtClaims& c) { c.audience.emplace_back(); }) == kJwtClaimsRefused);
  CHECK(reason_with([](JwtClaims& c) { c.lifetime = seconds(0); }) == kJwtClaimsRefused);
  CHECK(reason_with([](JwtClaims& c) { c.lifetime = -hours(1); }) == kJwtClaimsRefused);
  CHECK(reason_with([](JwtClaims& c) { c.audience = {"\xff"}; }) == kJwtClaimsRefused);
}

TEST_CASE("an authority needs a key id and a key of a known type") {
  const WallTime end = FromUnixSeconds(kNow + 86400);
  CHECK(JwtAuthority::Create("", end, NewSigner()).error().reason == kJwtAuthorityUnusable);
  CHECK(JwtAuthority::Create("k", end, nullptr).error().reason == kJwtAuthorityUnusable);
}

}  // namespace
}  // namespace signet::ca
