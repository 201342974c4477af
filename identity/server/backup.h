// `signet-server backup` and `restore`: what a server needs to begin again, copied while it serves:
// its database, the state of one moment, and its sealed keys. docs/backup.md is the drill.
//
// Not in it: the key-encryption key (whoever has both has the trust domain) unless asked for, and
// log.head, which must stay where it is so that a server knows a database older than its log.
//
// Threads: none; a process of its own.
#pragma once

#include <string>

#include "identity/server/config.h"
#include "identity/store/sqlite/database_copy.h"

namespace signet::identity {

inline constexpr Reason kBackupFailed{"no backup was made"};

struct BackupRequest {
  std::string folder;  // made, with mode 0700; must not exist
  bool with_kek = false;
};

struct BackupReport {
  std::string trust_domain;
  std::uint64_t log_records = 0;  // the newest record's number in the copy's log
  std::size_t keys = 0;
};

// Either the whole folder is there afterwards, verified (SQLite's integrity, the log's chain and
// checkpoints), or none. Fails with kBackupFailed, and as CopyDatabase() and VerifyLogFile() do.
Result<BackupReport> BackupServer(const ServerConfig& config, const BackupRequest& request,
                                  const CopyProgress& progress);

inline constexpr Reason kRestoreFailed{"nothing was restored"};

struct RestoreReport {
  std::string trust_domain;
  std::uint64_t log_records = 0;
  std::size_t keys = 0;
  std::string put_aside;  // where the database that was there is now; empty: there was none
};

// Puts a backup's database and keys in the place of what is there, while no server uses it
// (kAlreadyRunning). The backup is verified first. The database that was there is put aside, keys
// are added, log.head stays. Interrupted at any point, it can be run again.
Result<RestoreReport> RestoreServer(const ServerConfig& config, const std::string& folder,
                                    WallTime now);

}  // namespace signet::identity
