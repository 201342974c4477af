// A consistent copy of a database that a server may be using, by SQLite's online backup: the copy
// is the state of one moment, and the server is not held up.
//
// Threads: none.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace signet::identity {

// Called after each slice with the pages done and all pages.
using CopyProgress = std::function<void(std::size_t done, std::size_t all)>;

// Makes the file `to`, which must not exist; it is whole, synced and without a write-ahead log when
// this succeeds, and SQLite's own integrity check has passed on it. Fails with kStoreUnavailable,
// kStoreFull, kStoreCorrupt.
Status CopyDatabase(const std::string& from, const std::string& to, const CopyProgress& progress);

}  // namespace signet::identity
