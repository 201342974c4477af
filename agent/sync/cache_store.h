// What the agent serves, sealed on disk, so that a restart during an outage of the server serves at
// once: entries, bundles, and SVIDs with their keys. Written shortly after a change, not during it.
//
// Threads: one of its own between Start() and Stop().
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "agent/attest/sealed_file.h"
#include "agent/cache/cache.h"
#include "base/log.h"

namespace signet::agent {

class CacheStore {
 public:
  CacheStore(SealedFile file, Cache& cache, const Clock& clock, const Logger& log);
  ~CacheStore();

  // Fills the cache with what was kept for this agent; SVIDs that expired are left out. Nothing
  // kept, or kept for another agent: nothing is filled. Fails when the file does not open; it is
  // not overwritten then.
  Status Restore(const identity::SpiffeId& agent);
  // Keeps what changes from now on, for this agent.
  void Start(identity::SpiffeId agent);
  void Wake();
  // The node attested anew, as another agent.
  void SetAgent(const identity::SpiffeId& agent);
  // Keeps what is not kept yet, then stops.
  void Stop();
  // Stops, and removes what is kept.
  Status Erase();

 private:
  void Loop();
  void Save();

  const SealedFile file_;
  Cache& cache_;
  const Clock& clock_;
  const Logger& log_;
  SnapshotPtr saved_;  // of the thread
  bool said_failed_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  identity::SpiffeId agent_;
  bool awake_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
