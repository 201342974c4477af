// What is decided about a foreign bundle: whether a fetched one takes the place of the one held,
// and when to look again. Pure.
#pragma once

#include "base/clock.h"
#include "identity/bundle/bundle.h"

namespace signet::identity {

inline constexpr Reason kBundleOlder{"fetched bundle is older than the one held"};
inline constexpr Reason kBundleEmpty{"fetched bundle has no authority"};

// SPIFFE Federation, 4.2: bundles are ordered by their sequence numbers; where one has none, the
// one fetched last counts. A bundle without authorities revokes all of them (SPIFFE Trust Domain
// and Bundle, 4.1.3): that is believed only of a document whose sequence number says that it is
// newer, and never as the first one.
//
// `held` null: none. Fails with kBundleOlder or kBundleEmpty (FAILED_PRECONDITION).
Status CheckReplaces(const Bundle* held, const Bundle& fetched);

// What a look at an endpoint left behind.
struct PollState {
  std::int64_t refresh_hint = 0;  // of the bundle that is held; seconds, 0: none
  bool has_bundle = false;
};
// How long to wait before the next look: the hint (five minutes without one), at least a minute and
// at most a day; a minute while there is no bundle. `jitter` in [0, 1) takes up to a tenth off, but
// not below the minute. A failed look waits no shorter.
Duration NextPoll(const PollState& state, double jitter);

}  // namespace signet::identity
