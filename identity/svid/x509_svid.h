// X.509-SVIDs (X509-SVID standard): reading one, and verifying a peer's.
#pragma once

#include <span>

#include "ca/x509/path.h"
#include "identity/bundle/bundle.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::identity {

inline constexpr Reason kSvidMalformed{"not an X.509-SVID"};
inline constexpr Reason kNoBundleForTrustDomain{"no bundle for the peer's trust domain"};

// The checks on a leaf by itself (X509-SVID 2, 4, 5.2): exactly one URI SAN, a SPIFFE ID with a
// path, cA false, no keyCertSign or cRLSign, digitalSignature, EKU either absent or with both
// purposes. Fails with kSvidMalformed or kSpiffeIdMalformed, naming the rule.
Result<SpiffeId> ParseX509Svid(const ca::Certificate& leaf);

struct VerifiedSvid {
  SpiffeId id;
  ca::Chain path;        // leaf first, anchor last
  WallTime valid_until;  // the earliest end on the path
};

// Verifies a presented chain (leaf first): the leaf's checks, then RFC 5280 path validation against
// the bundle of the leaf's own trust domain, and of no other. Fails with the reasons above and
// those of ca/x509/path.h.
Result<VerifiedSvid> VerifyX509Svid(std::span<const ca::Certificate> presented,
                                    const BundleMap& bundles, WallTime now);

}  // namespace signet::identity
