// Why a node that can attest again does not get its SVID renewed: it has to prove itself anew. The
// router's answer carries AGENT_MUST_REATTEST, which agents act on.
#pragma once

#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kReattestInstead{"agent must reattest instead of renew"};

}  // namespace signet::identity
