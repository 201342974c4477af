#include "identity/svid/jwt_svid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "ca/jose/strict_json.h"

namespace signet::identity {
namespace {

using nlohmann::json;

// What is quoted from a token in a message.
constexpr std::size_t kMaxQuoted = 256;

tl::unexpected<Error> Refuse(Reason reason, std::string detail = {}) {
  return Fail(Code::kInvalidArgument, reason, std::move(detail));
}

std::string Quote(std::string_view text) { return "\"" + EscapeForLog(text, kMaxQuoted) + "\""; }

// JWT-SVID 2: no header but alg, kid and typ; alg and typ were judged while parsing (2.1, 2.3).
Status CheckHeader(const ca::JwsHeader& header) {
  if (!header.others.empty()) return Refuse(kJwtHeaderNotAllowed, Quote(header.others.front()));
  if (!header.key_id || header.key_id->empty()) return Refuse(kJwtKeyIdMissing);
  return {};
}

// JWT-SVID 3.1. A trust domain's own ID is no workload's.
Result<SpiffeId> ReadSubject(const json& claims) {
  const auto member = claims.find("sub");
  if (member == claims.end() || member->is_null()) return Refuse(kJwtSubjectMissing);
  if (!member->is_string()) return Refuse(kJwtSubjectInvalid, "'sub' is no text");
  auto id = SpiffeId::Parse(member->get_ref<const std::string&>());
  if (!id) return Refuse(kJwtSubjectInvalid, id.error().detail);
  if (id->path().empty()) return Refuse(kJwtSubjectInvalid, "it names a trust domain");
  return *std::move(id);
}

// JWT-SVID 3.2; RFC 7519, 4.1.3: a list of texts, or one text for a list of one.
Result<std::vector<std::string>> ReadAudience(const json& claims) {
  const auto member = claims.find("aud");
  if (member == claims.end() || member->is_null()) return Refuse(kJwtAudienceMissing);
  if (member->is_string()) return std::vector<std::string>{member->get<std::string>()};
  if (!member->is_array()) return Refuse(kJwtClaimMalformed, "'aud' is neither text nor list");
  std::vector<std::string> audience;
  for (const json& value : *member) {
    if (!value.is_string()) return Refuse(kJwtClaimMalformed, "'aud' holds what is no text");
    audience.push_back(value.get<std::string>());
  }
  if (audience.empty()) return Refuse(kJwtAudienceMissing, "'aud' is an empty list");
  return audience;
}

// Seconds to a WallTime, which can name 1677 to 2262; what lies beyond becomes its first or last.
WallTime FromSeconds(double seconds) {
  using Ticks = WallTime::duration;
  const double whole = std::floor(seconds);
  if (whole >= static_cast<double>(std::chrono::floor<std::chrono::seconds>(Ticks::max()).count()))
    return WallTime::max();
  if (whole <= static_cast<double>(std::chrono::ceil<std::chrono::seconds>(Ticks::min()).count()))
    return WallTime::min();
  return FromUnixSeconds(static_cast<std::int64_t>(whole)) +
         std::chrono::duration_cast<Ticks>(std::chrono::duration<double>(seconds - whole));
}

// RFC 7519, 2 NumericDate: a JSON number of seconds, fractions allowed; absent where the claim is.
// What does not fit 64 bits with a sign is refused.
Result<std::optional<WallTime>> ReadTime(const json& claims, const char* name) {
  constexpr double kTwoTo63 = 9223372036854775808.0;
  const auto member = claims.find(name);
  if (member == claims.end()) return std::optional<WallTime>();
  if (!member->is_number())
    return Refuse(kJwtClaimMalformed, fmt::format("'{}' is no number", name));
  const auto seconds = member->get<double>();
  const bool fits = member->is_number_float()
                        ? seconds >= -kTwoTo63 && seconds < kTwoTo63
                        : !member->is_number_unsigned() ||
                              std::in_range<std::int64_t>(member->get<std::uint64_t>());
  if (!fits) return Refuse(kJwtClaimMalformed, fmt::format("'{}' is out of range", name));
  return std::optional<WallTime>(FromSeconds(seconds));
}

struct Claims {
  json members;
  JwtSvid svid;
  std::optional<WallTime> not_before;
};

// The claims as values, nothing about them judged but their shape.
Result<Claims> ReadClaims(ByteView payload) {
  auto parsed = ca::ParseStrictJson(AsText(payload), ca::kMaxJwsBytes);
  if (!parsed) return Refuse(kJwtPayloadMalformed, parsed.error().detail);
  Claims claims;
  claims.members = *std::move(parsed);
  if (!claims.members.is_object()) return Refuse(kJwtPayloadMalformed, "it is no JSON object");
  JwtSvid& svid = claims.svid;
  SIGNET_TRY(svid.id, ReadSubject(claims.members));
  SIGNET_TRY(svid.audience, ReadAudience(claims.members));
  SIGNET_TRY(const auto expires_at, ReadTime(claims.members, "exp"));
  if (!expires_at) return Refuse(kJwtExpiryMissing);  // JWT-SVID 3.3
  svid.expires_at = *expires_at;
  SIGNET_TRY(claims.not_before, ReadTime(claims.members, "nbf"));
  SIGNET_TRY(svid.issued_at, ReadTime(claims.members, "iat"));
  return claims;
}

// JWT-SVID 6.2; Workload API 6.3: the authorities of the subject's trust domain, and of those the
// one that is named.
Result<ca::PublicKey> FindKey(const BundleMap& bundles, const SpiffeId& id,
                              const std::string& key_id, WallTime now, Duration leeway) {
  const auto bundle = bundles.find(id.trust_domain());
  if (bundle == bundles.end() || bundle->second.jwt_authorities.empty())
    return Refuse(kJwtNoAuthorities, Quote(id.trust_domain().name()));
  const auto& authorities = bundle->second.jwt_authorities;
  const auto authority = std::ranges::find(authorities, key_id, &JwtBundleAuthority::key_id);
  if (authority == authorities.end()) {
    return Refuse(kJwtAuthorityUnknown, fmt::format("key {} in trust domain {}", Quote(key_id),
                                                    Quote(id.trust_domain().name())));
  }
  if (authority->expires_at != 0 && now - leeway >= FromUnixSeconds(authority->expires_at))
    return Refuse(kJwtAuthorityEnded, "key " + Quote(key_id));
  return ca::PublicKey::FromSpki(authority->public_key);
}

// JWT-SVID 3.2 and RFC 7519, 4.1.3: one value is ours, as bytes.
Status CheckAudience(const JwtSvid& svid, std::string_view audience) {
  if (std::ranges::find(svid.audience, audience) != svid.audience.end()) return {};
  return Refuse(kJwtAudienceMismatch,
                fmt::format("expected {}, its first of {} is {}", Quote(audience),
                            svid.audience.size(), Quote(svid.audience.front())));
}

// JWT-SVID 3.3 and RFC 7519, 4.1.4 to 4.1.6: not on or after exp, not before nbf. About iat the RFC
// has no rule; as go-jose, a token from the future is refused: its issuer's clock or ours is wrong.
Status CheckTimes(const Claims& claims, WallTime now, Duration leeway) {
  const JwtSvid& svid = claims.svid;
  if (now - leeway >= svid.expires_at) {
    return Refuse(kJwtExpired, fmt::format("it ended {}, now is {}", FormatTime(svid.expires_at),
                                           FormatTime(now)));
  }
  if (claims.not_before && now + leeway < *claims.not_before) {
    return Refuse(kJwtNotYetValid, fmt::format("it starts {}, now is {}",
                                               FormatTime(*claims.not_before), FormatTime(now)));
  }
  if (svid.issued_at && now + leeway < *svid.issued_at) {
    return Refuse(kJwtIssuedInFuture, fmt::format("issued {}, now is {}",
                                                  FormatTime(*svid.issued_at), FormatTime(now)));
  }
  return {};
}

}  // namespace

Result<JwtSvid> ParseAndVerifyJwtSvid(std::string_view token, const BundleMap& bundles,
                                      std::string_view audience, WallTime now, Duration leeway) {
  if (audience.empty()) return Refuse(kJwtAudienceNotStated);
  SIGNET_TRY(const ca::Jws jws, ca::ParseCompactJws(token));
  SIGNET_RETURN_IF_ERROR(CheckHeader(jws.header));
  SIGNET_TRY(Claims claims, ReadClaims(jws.payload));
  JwtSvid& svid = claims.svid;
  svid.key_id = *jws.header.key_id;
  SIGNET_TRY(const ca::PublicKey key, FindKey(bundles, svid.id, svid.key_id, now, leeway));
  SIGNET_RETURN_IF_ERROR(ca::VerifyJws(jws, key));
  SIGNET_RETURN_IF_ERROR(CheckAudience(svid, audience));
  SIGNET_RETURN_IF_ERROR(CheckTimes(claims, now, leeway));
  claims.members["aud"] = svid.audience;
  svid.claims_json = claims.members.dump();
  return std::move(svid);
}

}  // namespace signet::identity
