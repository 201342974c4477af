// JSON Web Signatures in compact serialization (RFC 7515, 7.1) as JWT-SVID, 2 narrows them: three
// parts, an asymmetric algorithm of a closed list, nothing critical. What the payload says is the
// caller's business; what it may be used for is too.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ca/crypto/key.h"

namespace signet::ca {

inline constexpr Reason kJwsTooLong{"JWS too long"};
inline constexpr Reason kJwsMalformed{"malformed JWS"};
inline constexpr Reason kJwsAlgorithmRefused{"JWS algorithm not allowed"};
inline constexpr Reason kJwsTypeRefused{"JWS type not allowed"};
inline constexpr Reason kJwsCriticalRefused{"critical JWS header not understood"};
inline constexpr Reason kJwsKeyUnfit{"key does not fit the JWS algorithm"};

inline constexpr std::size_t kMaxJwsBytes = 16 * 1024;

// The algorithms of JWT-SVID, 2.1 (RFC 7518, 3.1): no MAC, no "none", no EdDSA.
enum class JwsAlgorithm { kRs256, kRs384, kRs512, kEs256, kEs384, kEs512, kPs256, kPs384, kPs512 };
std::string_view JwsAlgorithmName(JwsAlgorithm algorithm);  // "RS256", …
// Case-sensitive. Fails with kJwsAlgorithmRefused.
Result<JwsAlgorithm> ParseJwsAlgorithm(std::string_view name);
// What an authority with such a key signs with: ES256, ES384 or RS256, as SPIRE.
JwsAlgorithm JwsAlgorithmOf(KeyType type);

struct JwsHeader {
  JwsAlgorithm algorithm = JwsAlgorithm::kEs256;
  std::optional<std::string> key_id;  // "kid"; absent or any text, also an empty one
  std::optional<std::string> type;    // "typ"; absent, "JWT" or "JOSE"
  std::vector<std::string> others;    // names of all other members, sorted; their values are unused
};

// A token taken apart. Nothing in it is proven until VerifyJws() says so.
struct Jws {
  JwsHeader header;
  std::string signing_input;  // header '.' payload, as they came
  Bytes payload;
  Bytes signature;  // as JOSE writes it: r || s for ECDSA
};

// Reads `text` strictly: at most `limit` bytes, exactly three parts, base64url without padding or
// stray bits, a header that ParseStrictJson() takes. The algorithm is judged before the type,
// "crit" and the other parts are looked at (JWT-SVID, 4).
//
// Fails with kJwsTooLong, kJwsMalformed, kJwsAlgorithmRefused, kJwsTypeRefused (RFC 7519, 5.1;
// compared as written) or kJwsCriticalRefused (RFC 7515, 4.1.11; no extension is understood, so any
// "crit" is refused).
Result<Jws> ParseCompactJws(std::string_view text, std::size_t limit = kMaxJwsBytes);

// RFC 7518, 3.3 to 3.5: ES256 takes a P-256 key, ES384 P-384, ES512 P-521; RSA takes 2048 to 8192
// bits with a public exponent of at most 33 bits. Fails with kJwsKeyUnfit.
Status CheckKeyFits(JwsAlgorithm algorithm, const PublicKey& key);

// Fails with kJwsKeyUnfit or kSignatureInvalid.
Status VerifyJws(const Jws& jws, const PublicKey& key);

// {"alg", "kid", "typ":"JWT"} and `payload`, signed. `key_id` is UTF-8. Fails with kJwsKeyUnfit or
// kSigningFailed.
Result<std::string> SignCompactJws(const Signer& signer, JwsAlgorithm algorithm,
                                   std::string_view key_id, std::string_view payload);

}  // namespace signet::ca
