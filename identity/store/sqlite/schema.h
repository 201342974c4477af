// Bringing a database file to this program's schema, or refusing it before anything is written.
#pragma once

#include <span>

#include "base/log.h"
#include "identity/store/migration.h"
#include "identity/store/sqlite/connection.h"

namespace signet::identity {

// Reads only. Passes on an empty file and on a sound database of this trust domain whose steps are
// among `migrations`. Fails with kStoreCorrupt, kStoreNewer, kStoreForeign, kStoreUnavailable.
Status CheckDatabase(Connection& connection, const TrustDomain& trust_domain,
                     std::span<const Migration> migrations);

// Applies the steps that are missing, each in a transaction of its own that excludes other
// processes.
Status Migrate(Connection& connection, const TrustDomain& trust_domain,
               std::span<const Migration> migrations, const Logger& log);

}  // namespace signet::identity
