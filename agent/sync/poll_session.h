// SPIRE's way of staying in step: ask for all authorized entries, and for the bundles they need.
#pragma once

#include "agent/cache/cache.h"
#include "agent/sync/server_link.h"

namespace signet::agent {

// Everything as it stands now, as a full Delta of revision 0 (SPIRE counts none). Entries already
// in `held` are not transferred again. Entries that do not parse are left out and counted in
// `skipped`.
Result<Delta> PollOnce(const Connection& connection, const Snapshot& held, std::size_t* skipped);

}  // namespace signet::agent
