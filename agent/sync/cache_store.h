// What the agent serves, sealed on disk, so that a restart during an outage of the server serves at
// once: entries, bundles, and SVIDs with their keys. Written shortly after a change, not during it,
// and changes that follow one another are written once.
//
// A file that does not open, is of another agent, or is older than the last one written is refused,
// said, and written anew; it never keeps the agent from running. A disk that takes nothing never
// keeps it from serving: problem() says so until it takes something again.
//
// Threads: one of its own between Start() and Stop().
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "agent/attest/node_state.h"
#include "agent/sync/cache_file.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

inline constexpr Reason kCacheForeign{"kept cache is of another agent"};
inline constexpr Reason kCacheOlder{"kept cache is older than the last one written"};

struct CacheStoreParts {
  Cache& cache;
  NodeState& node;  // whose cache it is; keeps the generation last written
  const Clock& clock;
  Random& random;
  const Logger& log;
  Metrics& metrics;
};

class CacheStore {
 public:
  // A null `kek`: nothing is kept, and what was kept before is removed by Start().
  CacheStore(std::string path, std::shared_ptr<const SecretBytes> kek,
             const CacheStoreParts& parts);
  ~CacheStore();

  // Fills the cache with what was kept for this agent. Left out are SVIDs that expired and those of
  // authorities the agent does not trust any more; of two own bundles the one of the higher
  // sequence number counts. Nothing kept: nothing is filled. Fails with ca::kSealBroken,
  // kCacheMalformed, kCacheForeign or kCacheOlder among others; nothing is filled then.
  Status Restore();
  // Keeps what changes from now on.
  void Start();
  // The cache changed.
  void Wake();
  // The agent's SVID is another one: what is kept is bound to it soon.
  void OnAgentSvid();
  // Keeps what is not kept yet, then stops.
  void Stop();
  // Stops, and removes what is kept.
  Status Erase();
  // Why what is served now would not survive a restart; empty: it would.
  std::string problem() const;

 private:
  Result<KeptCache> ReadKept();
  Status CheckLabel(const CacheLabel& label) const;
  void DropUnusable(KeptCache* kept) const;
  void Loop();
  void Save();
  Status Write(const Snapshot& snapshot);
  void Halt();

  const std::string path_;
  const std::shared_ptr<const SecretBytes> kek_;
  Cache& cache_;
  NodeState& node_;
  const Clock& clock_;
  Random& random_;
  const Logger& log_;
  Counter& writes_;
  Counter& failures_;
  Gauge& bytes_;
  IssuerPool issuers_;
  SnapshotPtr saved_;  // of the thread, as is the next
  std::uint64_t generation_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string problem_;
  bool awake_ = false;
  bool rebind_ = false;  // the file is bound to an SVID that is not the agent's any more
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
