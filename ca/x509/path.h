// RFC 5280, section 6: is there a path from a leaf to one of the trust anchors, at a stated time.
// Pure: certificates, anchors and time in, a verdict out. It knows nothing of SPIFFE.
#pragma once

#include <span>
#include <vector>

#include "ca/x509/certificate.h"

namespace signet::ca {

inline constexpr Reason kNoTrustAnchor{"no authority to verify against"};
inline constexpr Reason kPathUntrusted{"certificate not signed by a trusted authority"};
inline constexpr Reason kCertificateExpired{"certificate expired"};
inline constexpr Reason kCertificateNotYetValid{"certificate not yet valid"};
inline constexpr Reason kPathInvalid{"certificate path invalid"};
inline constexpr Reason kChainTooLong{"certificate chain too long"};

struct PathPolicy {
  std::size_t max_depth = 8;  // certificates between leaf and anchor that are not self-issued
};

// `presented` is leaf first; the rest are candidates for intermediates in any order. Anchors are
// trusted as they are, self-signed or not (their own validity times still count). Answers the path,
// leaf first, anchor last.
Result<Chain> BuildPath(std::span<const Certificate> presented,
                        std::span<const Certificate> anchors, WallTime now,
                        const PathPolicy& policy = {});

}  // namespace signet::ca
