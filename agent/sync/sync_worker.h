// Keeps the cache in step with the server: connects, subscribes to the push stream, or polls as
// SPIRE's agent does when the server has no push. It is the only one who dials with the node's
// SVID.
//
// Threads: one of its own between Start() and Stop(); everything public is safe from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/cache/cache.h"
#include "agent/revocation/denial_board.h"
#include "agent/sync/server_link.h"
#include "base/backoff.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

inline constexpr Reason kSyncInterrupted{"sync interrupted"};

struct SyncOptions {
  Duration poll_interval = std::chrono::seconds(5);
  // The push stream carries a digest about each minute.
  Duration silence_limit = std::chrono::seconds(150);
};

struct SyncEvents {
  std::function<void()> connected;
  // The server refuses this agent. True: go on trying.
  std::function<bool(const Error&)> denied;
  // As SyncSink has them; null: denials are not asked for.
  std::function<Status(DenialDelta)> deny;
  std::function<identity::DenialSetPtr()> denials;
};

class SyncWorker {
 public:
  SyncWorker(ServerLink& link, Cache& cache, NodeState& state, const SyncOptions& options,
             const Clock& clock, Random& random, const Logger& log, Metrics& metrics);
  ~SyncWorker();

  void Start(SyncEvents events);
  void Stop();
  // Ends the present session; the next one follows at once.
  void Interrupt();

  enum class Mode { kAway, kPush, kPoll };
  Mode mode() const { return mode_; }
  // When the server was last heard to agree with the cache, on the steady clock; absent: never.
  std::optional<SteadyTime> last_heard() const;

 private:
  void Loop();
  // Answer why the session ended.
  Error RunSession(const ConnectionPtr& connection);
  Error RunPush(const ConnectionPtr& connection);
  Error RunPoll(const ConnectionPtr& connection);
  Result<SnapshotPtr> ApplyRevision(Delta delta);
  void NoteHeard();
  void NoteAway(const Error& error);
  // False: stopped or interrupted.
  bool Pause(Duration duration);
  bool TakeInterrupt();
  // What Interrupt() calls while a stream is open.
  void SetCancel(std::function<void()> cancel);

  ServerLink& link_;
  Cache& cache_;
  NodeState& state_;
  const SyncOptions options_;
  const Clock& clock_;
  Random& random_;
  const Logger& log_;
  Counter& reconnects_;
  SyncEvents events_;
  std::atomic<Mode> mode_{Mode::kAway};
  bool force_full_ = false;  // the next subscription asks for everything; of the thread
  Duration pause_asked_{};   // by the server as it ended the last one; of the thread
  bool said_away_ = false;   // of the thread

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> cancel_;
  std::optional<SteadyTime> last_heard_;
  bool interrupted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
