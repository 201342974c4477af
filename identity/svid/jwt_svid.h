// JWT-SVIDs (JWT-SVID standard): verifying one that somebody presents. Every check of the standard
// stands in jwt_svid.cc in its order.
//
// Threads: a pure function; the time is passed in.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ca/jose/jws.h"
#include "identity/bundle/bundle.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::identity {

inline constexpr Reason kJwtAudienceNotStated{"no audience to verify a token for"};
inline constexpr Reason kJwtHeaderNotAllowed{"header not allowed in a JWT-SVID"};
inline constexpr Reason kJwtKeyIdMissing{"token header missing key id"};
inline constexpr Reason kJwtPayloadMalformed{"token payload malformed"};
inline constexpr Reason kJwtSubjectMissing{"token missing subject claim"};
inline constexpr Reason kJwtSubjectInvalid{"token subject is no workload's SPIFFE ID"};
inline constexpr Reason kJwtAudienceMissing{"token missing audience claim"};
inline constexpr Reason kJwtExpiryMissing{"token missing expiry claim"};
inline constexpr Reason kJwtClaimMalformed{"token claim malformed"};
inline constexpr Reason kJwtNoAuthorities{"no JWT authorities for the token's trust domain"};
inline constexpr Reason kJwtAuthorityUnknown{
    "token signed by no JWT authority of its trust domain"};
inline constexpr Reason kJwtAuthorityEnded{"JWT authority of the token has ended"};
inline constexpr Reason kJwtAudienceMismatch{"token is for another audience"};
inline constexpr Reason kJwtExpired{"token expired"};
inline constexpr Reason kJwtNotYetValid{"token not yet valid"};
inline constexpr Reason kJwtIssuedInFuture{"token issued in the future"};

// How far two clocks may differ; SPIRE, and all that is built on go-jose, allows as much.
inline constexpr Duration kJwtSvidLeeway = std::chrono::seconds(60);

struct JwtSvid {
  SpiffeId id;
  std::vector<std::string> audience;  // at least one
  WallTime expires_at;                // the last moment WallTime can name, if it is later still
  std::optional<WallTime> issued_at;
  std::string key_id;
  std::string claims_json;  // all claims, private ones too, as one JSON object; "aud" always a list
};

// Verifies `token` for one `audience` at `now`, give or take `leeway`. The key is the one that the
// token's "kid" names among the JWT authorities of the subject's own trust domain, and no other; a
// token without "kid" is refused, though JWT-SVID 2.2 would allow it: no issuer leaves it out and
// no peer accepts it.
//
// Fails with the reasons above and those of ca/jose/jws.h, always INVALID_ARGUMENT. At most one
// signature is checked, over at most ca::kMaxJwsBytes. No message holds the token.
Result<JwtSvid> ParseAndVerifyJwtSvid(std::string_view token, const BundleMap& bundles,
                                      std::string_view audience, WallTime now, Duration leeway);

}  // namespace signet::identity
