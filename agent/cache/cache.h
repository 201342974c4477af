// The agent's cache: the current Snapshot, and every way it may change. A change that alters
// nothing makes no new snapshot, so nobody is woken for it.
//
// Threads: safe from any thread. Observers are called after the swap, without the lock, on the
// thread that made the change; they must be quick.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "agent/cache/snapshot.h"

namespace signet::agent {

inline constexpr Reason kRevisionBackwards{"revision moves backwards"};

// One revision, whole.
struct Delta {
  std::uint64_t revision = 0;
  bool full = false;  // replaces everything; the removed lists are empty then
  std::vector<AuthorizedEntry> upserts;
  std::vector<std::string> removed_entries;
  std::vector<identity::Bundle> bundles;
  std::vector<identity::TrustDomain> removed_bundles;
};

class Cache {
 public:
  explicit Cache(identity::TrustDomain trust_domain);

  SnapshotPtr Current() const;
  // Call before other threads use the cache.
  void Observe(std::function<void()> observer);

  // Answers the snapshot that holds the delta. Fails with kRevisionBackwards (changing nothing)
  // when a delta that is not full has no higher revision than the one held.
  Result<SnapshotPtr> Apply(Delta delta);
  // By entry id. SVIDs for entries that are gone or that name another SPIFFE ID are left out.
  void Install(std::vector<std::pair<std::string, SvidPtr>> svids);
  // Takes back what has expired. Answers the number of SVIDs dropped.
  std::size_t DropExpired(WallTime now);
  // What was kept from before a restart; only into an empty cache.
  void Restore(Delta delta, std::vector<std::pair<std::string, SvidPtr>> svids);
  // Forgets everything, as if nothing had ever been received.
  void Erase();

 private:
  void Publish(std::shared_ptr<Snapshot> next, std::unique_lock<std::mutex> lock);

  const identity::TrustDomain trust_domain_;
  std::vector<std::function<void()>> observers_;
  mutable std::mutex mutex_;  // guards current_
  SnapshotPtr current_;
};

}  // namespace signet::agent
