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

// SVIDs by entry id.
using SvidList = std::vector<std::pair<std::string, SvidPtr>>;

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
  // when a delta that is not full has no higher revision than the one held. Costs what the delta
  // changes. An own bundle without X.509 authorities is passed over: it would take from workloads
  // all they can verify with, and no server has reason to send one.
  Result<SnapshotPtr> Apply(Delta delta);
  // SVIDs for entries that are gone or that name another SPIFFE ID are left out.
  void Install(const SvidList& svids);
  // Takes these SVIDs back.
  void Drop(const std::vector<std::string>& ids);
  // The same, but only those that have expired.
  void DropExpired(const std::vector<std::string>& ids, WallTime now);
  // Takes back what is denied, and grants none of it from now on. Answers the number of SVIDs
  // taken back.
  std::size_t SetDenials(identity::DenialSetPtr denials, std::uint64_t revision, WallTime now);
  // What was kept from before a restart; only into an empty cache.
  void Restore(Delta delta, const SvidList& svids);
  // Forgets everything, as if nothing had ever been received.
  void Erase();

 private:
  // `make_list` answers an SvidList; called under the lock.
  template <class MakeList>
  void ChangeSvids(MakeList make_list);
  void Publish(std::shared_ptr<Snapshot> next, std::unique_lock<std::mutex> lock);

  const identity::TrustDomain trust_domain_;
  std::vector<std::function<void()>> observers_;
  mutable std::mutex mutex_;  // guards current_
  SnapshotPtr current_;
};

}  // namespace signet::agent
