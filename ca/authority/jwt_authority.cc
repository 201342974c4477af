#include "ca/authority/jwt_authority.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"

namespace signet::ca {
namespace {

tl::unexpected<Error> RefuseClaims(std::string detail) {
  return Fail(Code::kInvalidArgument, kJwtClaimsRefused, std::move(detail));
}

Status CheckClaims(const JwtClaims& claims) {
  if (claims.subject.empty()) return RefuseClaims("no subject");
  if (claims.audience.empty()) return RefuseClaims("no audience");
  if (std::ranges::any_of(claims.audience, &std::string::empty))
    return RefuseClaims("an empty audience");
  if (claims.lifetime < std::chrono::seconds(1)) return RefuseClaims("no lifetime");
  return {};
}

}  // namespace

JwtAuthority::JwtAuthority(std::string key_id, WallTime not_after,
                           std::shared_ptr<const Signer> signer, JwsAlgorithm algorithm)
    : key_id_(std::move(key_id)),
      not_after_(not_after),
      signer_(std::move(signer)),
      algorithm_(algorithm) {}

Result<std::shared_ptr<const JwtAuthority>> JwtAuthority::Create(
    std::string key_id, WallTime not_after, std::shared_ptr<const Signer> signer) {
  if (key_id.empty()) return Fail(Code::kInvalidArgument, kJwtAuthorityUnusable, "no key id");
  if (signer == nullptr) return Fail(Code::kInvalidArgument, kJwtAuthorityUnusable, "no signer");
  const auto type = signer->public_key().Type();
  if (!type) return Fail(Code::kInvalidArgument, kJwtAuthorityUnusable, type.error().detail);
  return std::shared_ptr<const JwtAuthority>(
      new JwtAuthority(std::move(key_id), not_after, std::move(signer), JwsAlgorithmOf(*type)));
}

Result<PreparedJwt> JwtAuthority::Prepare(const JwtClaims& claims, WallTime now) const {
  SIGNET_RETURN_IF_ERROR(CheckClaims(claims));
  const std::int64_t issued_at = UnixSeconds(now);
  const std::int64_t left = UnixSeconds(not_after_) - issued_at;
  if (left < 1) {
    return Fail(Code::kFailedPrecondition, kJwtAuthorityExpired,
                "key " + key_id_ + " ends " + FormatTime(not_after_));
  }
  PreparedJwt prepared;
  prepared.key_id = key_id_;
  prepared.shortened = claims.lifetime.count() > left;
  const std::int64_t expires_at = issued_at + std::min<std::int64_t>(claims.lifetime.count(), left);
  prepared.issued_at = FromUnixSeconds(issued_at);
  prepared.expires_at = FromUnixSeconds(expires_at);
  nlohmann::json payload = {
      {"sub", claims.subject}, {"aud", claims.audience}, {"iat", issued_at}, {"exp", expires_at}};
  if (!claims.issuer.empty()) payload["iss"] = claims.issuer;
  if (!claims.token_id.empty()) payload["jti"] = claims.token_id;
  try {
    prepared.payload = payload.dump();
  } catch (const nlohmann::json::exception&) {
    return RefuseClaims("a text that is not UTF-8");
  }
  return prepared;
}

Result<std::string> JwtAuthority::Sign(const PreparedJwt& prepared) const {
  CHECK_TRUE(prepared.key_id == key_id_);
  return SignCompactJws(*signer_, algorithm_, key_id_, prepared.payload);
}

}  // namespace signet::ca
