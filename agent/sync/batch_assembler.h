// Gathers the parts of one revision of the push stream into a Delta, and refuses what the protocol
// forbids. Pure.
#pragma once

#include <optional>
#include <set>

#include "agent/cache/cache.h"
#include "signet/sync/v1/sync.pb.h"

namespace signet::agent {

inline constexpr Reason kBatchRefused{"batch breaks the sync protocol"};
inline constexpr std::size_t kMaxEntries = 1'000'000;

class BatchAssembler {
 public:
  // The whole revision when `batch` is its last part, else nothing yet. An entry or bundle that
  // does not parse fails the revision (kBatchRefused or kMessageMalformed).
  Result<std::optional<Delta>> Add(const signet::sync::v1::Batch& batch);

 private:
  Status CheckPart(const signet::sync::v1::Batch& batch) const;
  Status Gather(const signet::sync::v1::Batch& batch);

  bool gathering_ = false;
  Delta delta_;
  std::set<std::string> seen_ids_;
};

}  // namespace signet::agent
