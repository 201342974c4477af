#include "agent/sync/sync_worker.h"

#include "agent/attest/denial.h"
#include "agent/sync/poll_session.h"
#include "agent/sync/push_session.h"

namespace signet::agent {

SyncWorker::SyncWorker(ServerLink& link, Cache& cache, NodeState& state, const SyncOptions& options,
                       const Clock& clock, Random& random, const Logger& log, Metrics& metrics)
    : link_(link),
      cache_(cache),
      state_(state),
      options_(options),
      clock_(clock),
      random_(random),
      log_(log),
      reconnects_(
          metrics.Counter("signet_agent_connections_total", "Connections made to the server")) {}

SyncWorker::~SyncWorker() { Stop(); }

void SyncWorker::Start(SyncEvents events) {
  events_ = std::move(events);
  thread_ = std::thread([this] { Loop(); });
}

void SyncWorker::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (cancel_) cancel_();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void SyncWorker::Interrupt() {
  {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    if (cancel_) cancel_();
  }
  changed_.notify_all();
}

void SyncWorker::SetCancel(std::function<void()> cancel) {
  const std::lock_guard lock(mutex_);
  cancel_ = std::move(cancel);
  if (cancel_ && (stopping_ || interrupted_)) cancel_();
}

bool SyncWorker::TakeInterrupt() {
  const std::lock_guard lock(mutex_);
  return std::exchange(interrupted_, false);
}

bool SyncWorker::Pause(Duration duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, duration, [&] { return stopping_ || interrupted_; });
  return !stopping_ && !interrupted_;
}

std::optional<SteadyTime> SyncWorker::last_heard() const {
  const std::lock_guard lock(mutex_);
  return last_heard_;
}

void SyncWorker::NoteHeard() {
  const std::lock_guard lock(mutex_);
  last_heard_ = clock_.SteadyNow();
}

void SyncWorker::NoteAway(const Error& error) {
  mode_ = Mode::kAway;
  if (std::exchange(said_away_, true)) {
    log_.Debug("server still not reachable", {{"error", error.Message()}});
  } else {
    log_.Warn("server not reachable; serving what is held, trying again",
              {{"error", error.Message()}});
  }
}

void SyncWorker::Loop() {
  unsigned failures = 0;
  while (true) {
    TakeInterrupt();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    auto connection = link_.Connect();
    if (!connection) {
      NoteAway(connection.error());
      Pause(DrawBackoff(failures++, {}, random_));
      continue;
    }
    reconnects_.Add();
    const SteadyTime begun = clock_.SteadyNow();
    events_.connected();
    if (link_.current() != *connection) continue;  // it was renewed at once: dial with the new SVID
    const Error error = RunSession(*connection);
    mode_ = Mode::kAway;
    link_.Drop(*connection);
    if (AnswerTo(error) != DenialAnswer::kNone && !events_.denied(error)) return;
    TakeInterrupt();  // Drop() set it
    // A session in which the server was heard was a good one, however short its certificate's life
    // made it: only servers that say nothing are met with growing pauses.
    if (const auto heard = last_heard(); heard && *heard >= begun) failures = 0;
    if (error.reason == kSyncInterrupted) continue;  // our own doing: connect again at once
    NoteAway(error);
    Pause(std::max(DrawBackoff(failures++, {}, random_),
                   DrawPause(std::exchange(pause_asked_, Duration::zero()), random_)));
  }
}

Error SyncWorker::RunSession(const ConnectionPtr& connection) {
  Error error = RunPush(connection);
  if (error.code == Code::kUnimplemented) {
    log_.Info("the server has no push stream; asking it for changes",
              {{"every", FormatDuration(options_.poll_interval)}});
    error = RunPoll(connection);
  }
  const bool ours = TakeInterrupt() || clock_.Now() >= connection->valid_until;
  if (ours && AnswerTo(error) == DenialAnswer::kNone)
    return Error{Code::kCancelled, kSyncInterrupted, {}};
  return error;
}

Error SyncWorker::RunPush(const ConnectionPtr& connection) {
  SyncSink sink;
  sink.apply = [this](Delta delta) { return ApplyRevision(std::move(delta)); };
  sink.held = [this] { return cache_.Current(); };
  sink.heard = [this] {
    mode_ = Mode::kPush;
    NoteHeard();
  };
  sink.deny = events_.deny;
  sink.denials = events_.denials;
  PushSession session(connection, std::move(sink), options_.silence_limit);
  SetCancel([&] { session.Cancel(); });
  Error error = session.Run(std::exchange(force_full_, false));
  SetCancel(nullptr);
  force_full_ = error.reason == kOutOfStep;
  pause_asked_ = session.retry_hint().value_or(Duration::zero());
  return error;
}

Error SyncWorker::RunPoll(const ConnectionPtr& connection) {
  std::size_t said_skipped = 0;
  do {
    std::size_t skipped = 0;
    auto delta = PollOnce(*connection, *cache_.Current(), &skipped);
    if (!delta) return delta.error();
    if (skipped != std::exchange(said_skipped, skipped) && skipped > 0)
      log_.Warn("entries of the server left out: not readable", {{"count", skipped}});
    if (auto applied = ApplyRevision(std::move(*delta)); !applied) return applied.error();
    mode_ = Mode::kPoll;
  } while (Pause(options_.poll_interval) && clock_.Now() < connection->valid_until);
  return Error{Code::kCancelled, kSyncInterrupted, {}};
}

Result<SnapshotPtr> SyncWorker::ApplyRevision(Delta delta) {
  const identity::TrustDomain own = cache_.Current()->trust_domain;
  for (const identity::Bundle& bundle : delta.bundles) {
    if (bundle.trust_domain != own) continue;
    if (const Status stored = state_.SetBundle(bundle); !stored)
      log_.Error("the new bundle could not be stored", {{"error", stored.error().Message()}});
  }
  const SnapshotPtr before = cache_.Current();
  SIGNET_TRY(auto snapshot, cache_.Apply(std::move(delta)));
  if (snapshot->revision != 0 && snapshot->revision < before->revision)
    log_.Warn("the server went back to an older revision; was its database restored?",
              {{"held", before->revision}, {"received", snapshot->revision}});
  NoteHeard();
  if (std::exchange(said_away_, false) || !before->synced)
    log_.Info("in step with the server",
              {{"revision", snapshot->revision}, {"entries", snapshot->entries.size()}});
  return snapshot;
}

}  // namespace signet::agent
