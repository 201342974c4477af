// What a set of files should hold at one moment. Decides only; files_keeper.h writes.
//
// Threads: none.
#pragma once

#include <string>
#include <vector>

#include "agent/cache/snapshot.h"
#include "agent/files/file_options.h"

namespace signet::agent {

struct FilePlan {
  std::vector<files::PlannedFile> files;
  std::string missing;  // why there are none now; empty: there are
  EntryPtr entry;       // whose SVID it is; null: there is none
};

// The SVID is that of the first entry (by id) for the SPIFFE ID that has not expired.
FilePlan PlanFiles(const Snapshot& snapshot, const FileSetOptions& options, WallTime now);

}  // namespace signet::agent
