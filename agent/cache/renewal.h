// When to renew what expires, and how long to wait after a failure. Pure: time and randomness in,
// time out.
#pragma once

#include "base/clock.h"
#include "base/random.h"

namespace signet::agent {

// When half of the life is left, give or take a tenth of that half, as SPIRE's agent does; the
// jitter is drawn here, once, so call it once per certificate.
WallTime DrawRenewalTime(WallTime not_before, WallTime not_after, Random& random);

// The same for a certificate received just now. One that is due as it arrives (its life is short
// against its backdating) waits for half of what is left instead: no certificate is renewed in a
// busy loop.
WallTime DrawRenewalOfNew(WallTime not_before, WallTime not_after, WallTime now, Random& random);

struct BackoffPolicy {
  Duration first = std::chrono::milliseconds(250);
  Duration most = std::chrono::seconds(30);
};
// Full jitter: uniform between zero and min(most, first * 2^failures). `failures` counts those
// before this one.
Duration DrawBackoff(unsigned failures, const BackoffPolicy& policy, Random& random);

}  // namespace signet::agent
