// When to renew what expires. Pure: time in, time out.
#pragma once

#include "base/clock.h"
#include "ca/crypto/digest.h"

namespace signet::agent {

// When half of the life is left, give or take a tenth of that half, as SPIRE's agent does. Where in
// that fifth is read from the certificate's fingerprint, which its random serial number makes
// random: drawn once, by the minting, the same at each look and after each restart, and spread
// evenly over SVIDs that were minted together.
WallTime RenewalTime(WallTime not_before, WallTime not_after, const ca::Sha256Digest& fingerprint);

// The same for a certificate received just now. One that is due as it arrives (its life is short
// against its backdating) waits for about half of what is left instead: no certificate is renewed
// in a busy loop.
WallTime RenewalOfNew(WallTime not_before, WallTime not_after, WallTime now,
                      const ca::Sha256Digest& fingerprint);

}  // namespace signet::agent
