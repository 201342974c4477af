// What is wrong, or about to be, with the authorities: said before anything ends, with the reason.
// Pure: slots and a time in, sentences out.
//
// Threads: none.
#pragma once

#include <string>
#include <vector>

#include "identity/server/authority_keeper.h"

namespace signet::identity {

// A sentence for each problem of the authorities of `type`; empty when all is well. An authority is
// a problem from half of its activation threshold on (ca::ActivateThreshold(): with SPIRE's
// schedule from 11/12 of its life), when its successor should have been in use for a while; and as
// soon as the clock stands before it was made, since nobody accepts what it signs then.
std::vector<std::string> AuthorityProblems(std::string_view type,
                                           const std::vector<AuthorityKeeper::SlotStatus>& slots,
                                           WallTime now);

}  // namespace signet::identity
