// Pushes each change to the agents it concerns: hears of every revision from the registry, finds
// the streams concerned, and lets each of them send when it can. One thread does all of it; a
// stream that does not read delays no other.
//
// Threads: safe from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "identity/api/acknowledgements.h"
#include "identity/api/authorization.h"
#include "identity/api/sync_session.h"
#include "identity/registry/registry.h"

namespace signet::identity {

class SyncHub {
 public:
  SyncHub(Registry& registry, const Authorizer& authorizer, Acknowledgements& acknowledgements,
          const Clock& clock, const Logger& log, Metrics& metrics);
  // After Stop() and after gRPC's server is gone.
  ~SyncHub();
  SyncHub(const SyncHub&) = delete;
  SyncHub& operator=(const SyncHub&) = delete;

  void Register(Router* router);
  // Ends every stream; new ones are ended as they come.
  void Stop();
  std::size_t streams() const;
  // A new stream of its caller's; over when the session hears OnOver().
  std::shared_ptr<SyncSession> Open(std::shared_ptr<StreamCall> call);

  // For sessions.
  enum class Pace {
    kAtOnce,
    kInTurn,  // what goes to everybody: so many at a time, so that nobody else waits behind it
  };
  void Ready(std::shared_ptr<SyncSession> session, Pace pace);
  // What was on its way to the session has left.
  void Sent(std::shared_ptr<SyncSession> session);
  void Remove(const std::shared_ptr<SyncSession>& session);
  Registry& registry() { return registry_; }
  Acknowledgements& acknowledgements() { return acknowledgements_; }
  const Logger& log() const { return log_; }
  void CountBatch() { batches_.Add(); }
  void CountMismatch() { mismatches_.Add(); }

 private:
  using Sessions = std::vector<std::shared_ptr<SyncSession>>;

  void Run();
  void Apply(const Change& change);
  void ApplyEntries(const Change& change);
  void MarkAgents(const std::vector<SpiffeId>& agents);
  void MarkAll();
  // Looks at each stream's agent again, when it is due or `all`: banned, deleted, expired,
  // replaced.
  void JudgeAll(SteadyTime now, bool all);
  void Judge(const std::shared_ptr<SyncSession>& session);
  // What may be sent now. Under the mutex.
  Sessions TakeReady(SteadyTime now);
  // Whether TakeReady() would answer any.
  bool HasReady() const;
  Sessions All() const;
  Sessions Of(const SpiffeId& agent) const;

  Registry& registry_;
  const Authorizer& authorizer_;
  Acknowledgements& acknowledgements_;
  const Clock& clock_;
  const Logger& log_;
  Counter& batches_;
  Counter& mismatches_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool overrun_ = false;  // changes were dropped: every stream looks for itself
  std::deque<Change> changes_;
  std::set<std::shared_ptr<SyncSession>> ready_;    // at once
  std::deque<std::shared_ptr<SyncSession>> queue_;  // in turn
  std::unordered_set<const SyncSession*> queued_;   // what is in queue_
  // Of those sent to in turn: until when each is waited for.
  std::unordered_map<const SyncSession*, SteadyTime> under_way_;
  std::unordered_map<SpiffeId, Sessions> sessions_;
  Revision last_bundle_removal_ = 0;  // the hub's thread only
  std::uint64_t observer_ = 0;
  std::thread thread_;
};

}  // namespace signet::identity
