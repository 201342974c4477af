// A trust domain's bundle: the authorities its SVIDs verify against (SPIFFE Trust Domain and
// Bundle, section 4), and its JWKS form. An X.509 authority verifies X.509-SVIDs only, a JWT
// authority JWT-SVIDs only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ca/x509/certificate.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::identity {

inline constexpr Reason kBundleMalformed{"malformed bundle"};
inline constexpr std::size_t kMaxBundleBytes = 4U << 20;

struct X509BundleAuthority {
  ca::Certificate certificate;
  bool tainted = false;
  friend bool operator==(const X509BundleAuthority&, const X509BundleAuthority&) = default;
};

struct JwtBundleAuthority {
  std::string key_id;
  Bytes public_key;             // SubjectPublicKeyInfo
  std::int64_t expires_at = 0;  // Unix seconds; 0: not stated
  bool tainted = false;
  friend bool operator==(const JwtBundleAuthority&, const JwtBundleAuthority&) = default;
};

struct Bundle {
  TrustDomain trust_domain;
  std::vector<X509BundleAuthority> x509_authorities;
  std::vector<JwtBundleAuthority> jwt_authorities;
  std::int64_t refresh_hint = 0;      // seconds; 0: not stated
  std::uint64_t sequence_number = 0;  // grows with each change

  // The certificates to verify against: all authorities, tainted ones too (a taint hastens
  // renewal; only removal revokes).
  std::vector<ca::Certificate> X509Roots() const;
  friend bool operator==(const Bundle&, const Bundle&) = default;
};

// What a parse left out, for the log: "keys[2]: kty 'OKP' is unknown, skipped".
struct ParsedBundle {
  Bundle bundle;
  std::vector<std::string> skipped;
};

// SPIFFE bundle format (JWKS with spiffe_sequence and spiffe_refresh_hint). `keys` must be there;
// elements of unknown kty or use are skipped, of x5c only the first value counts; bounded. Fails
// with kBundleMalformed.
Result<ParsedBundle> ParseSpiffeBundle(const TrustDomain& trust_domain, std::string_view json);
// The inverse, for the bundle endpoint: one x5c each, no kid on X.509 entries, no private members.
std::string FormatSpiffeBundle(const Bundle& bundle);
// Only the JWT keys, as the Workload API's JWT bundles want them.
std::string FormatJwtBundle(const Bundle& bundle);
// The same as a provider of OpenID Connect publishes its keys (Discovery 1.0, section 3): with use
// "sig" and the algorithm that each key signs with. Only keys of types that sign JWT-SVIDs.
std::string FormatOidcKeys(const Bundle& bundle);
// The algorithms of these keys, each once, in the order of the keys: "ES256".
std::vector<std::string> OidcAlgorithms(const Bundle& bundle);

// A SPIFFE bundle map ({"trust_domains": {name: bundle}}, section 5.1.1). Duplicate names are
// refused.
Result<std::map<TrustDomain, ParsedBundle>> ParseBundleMap(std::string_view json);

// Bundles by trust domain: the peer's own domain picks the one that counts, others never mix in.
using BundleMap = std::map<TrustDomain, Bundle>;

}  // namespace signet::identity
