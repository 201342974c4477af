// How long to wait after a failure.
#pragma once

#include "base/clock.h"
#include "base/random.h"

namespace signet {

struct BackoffPolicy {
  Duration first = std::chrono::milliseconds(250);
  Duration most = std::chrono::seconds(30);
};
// Full jitter: uniform between zero and min(most, first * 2^failures). `failures` counts those
// before this one.
Duration DrawBackoff(unsigned failures, const BackoffPolicy& policy, Random& random);
// A pause that somebody asked for: no shorter, and spread over as much again, so that those who
// were asked the same do not come back together.
Duration DrawPause(Duration asked, Random& random);

}  // namespace signet
