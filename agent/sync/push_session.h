// One subscription to the push stream, as signet/sync/v1/sync.proto describes it.
//
// Threads: Run() on one thread; Cancel() from any.
#pragma once

#include <functional>
#include <optional>

#include "agent/cache/cache.h"
#include "agent/revocation/denial_board.h"
#include "agent/sync/bidi_call.h"
#include "agent/sync/server_link.h"
#include "signet/sync/v1/sync.pb.h"

namespace signet::agent {

inline constexpr Reason kOutOfStep{"cache out of step with the server"};
inline constexpr Reason kServerSilent{"server silent"};

// What a session does to the agent.
struct SyncSink {
  std::function<Result<SnapshotPtr>(Delta)> apply;
  std::function<SnapshotPtr()> held;
  std::function<void()> heard;  // the server agrees with what is held
  std::function<Status(DenialDelta)> deny;
  std::function<identity::DenialSetPtr()> denials;  // held; null: denials are not asked for
};

class PushSession {
 public:
  PushSession(ConnectionPtr connection, SyncSink sink, Duration silence_limit);

  // Until the stream ends. Answers why: UNIMPLEMENTED when the server has no push, kOutOfStep when
  // the next subscription must ask for everything.
  Error Run(bool ask_for_everything);
  void Cancel() { call_.Cancel(); }
  // After Run(): how long the server asked to be left alone, if it did.
  std::optional<Duration> retry_hint() const;

 private:
  using Call = BidiCall<signet::sync::v1::SubscribeRequest, signet::sync::v1::SubscribeResponse>;
  Error Follow();
  Error WhyDenied(std::string text);
  Status OnBatch(const signet::sync::v1::Batch& batch);
  Status OnDigest(const signet::sync::v1::Digest& digest);
  Status OnDenials(const signet::sync::v1::Denials& part);

  const ConnectionPtr connection_;
  const SyncSink sink_;
  const Duration silence_limit_;
  struct Gathering;
  std::shared_ptr<Gathering> gathering_;
  Call call_;
};

}  // namespace signet::agent
