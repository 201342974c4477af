// Public keys as JSON Web Keys (RFC 7517, RFC 7518 6, RFC 8037 2): the members that carry the key,
// as values. JSON itself is the caller's; so are `use`, `kid` and what a key may be used for.
#pragma once

#include <string>

#include "ca/crypto/key.h"

namespace signet::ca {

inline constexpr Reason kJwkUnsupported{"unsupported JSON Web Key"};
inline constexpr Reason kJwkMalformed{"malformed JSON Web Key"};

// Texts as they stand in the JSON: x, y, n and e are base64url. Empty: not there.
struct PublicJwk {
  std::string kty{};  // "EC", "RSA" or "OKP"
  std::string crv{};  // EC: "P-256", "P-384", "P-521"; OKP: "Ed25519", "Ed448"
  std::string x{};
  std::string y{};
  std::string n{};
  std::string e{};
  friend bool operator==(const PublicJwk&, const PublicJwk&) = default;
};

// EC coordinates must have the full width of their curve and name a point on it; RSA keys have 2048
// to 8192 bits (RFC 7518, 3.3) and an odd exponent of at most 33. Fails with kJwkUnsupported for
// other kty and crv, with kJwkMalformed for bad members.
Result<PublicKey> ReadPublicJwk(const PublicJwk& jwk);

// The inverse, canonical: equal keys give equal JWKs. Fails with kJwkUnsupported.
Result<PublicJwk> WritePublicJwk(const PublicKey& key);

}  // namespace signet::ca
