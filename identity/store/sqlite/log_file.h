// The log in a database file that no server uses: a copy, a backup. Opens it for reading only and
// takes nothing in it on trust.
#pragma once

#include <optional>
#include <string>

#include "identity/audit/log_export.h"
#include "identity/store/sqlite/connection.h"

namespace signet::identity {

struct LogFileReport {
  std::string trust_domain;
  LogHead base;
  LogHead head;
  std::uint64_t covered = 0;  // the newest record that a checkpoint covers
};

// Follows the whole chain and every checkpoint. `expected`: one kept outside the database, which
// the log must hold. Fails as LogExportVerifier does, or with kStoreUnavailable / kStoreCorrupt.
Result<LogFileReport> VerifyLogFile(const std::string& path,
                                    const std::optional<StatedCheckpoint>& expected);

}  // namespace signet::identity
