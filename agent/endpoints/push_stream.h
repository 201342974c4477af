// One call that pushes: a message when what is to be said is new, and only then. At most one
// message is in flight, and what changes meanwhile is merged into the next one, so a caller that
// never reads costs one message. What is said is decided by the classes derived from it.
//
// Ownership: the stream owns itself until gRPC's OnDone.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "agent/cache/cache.h"
#include "agent/cache/interest.h"
#include "agent/endpoints/answer.h"
#include "agent/endpoints/caller_table.h"
#include "agent/endpoints/patience.h"
#include "agent/endpoints/refusal.h"
#include "agent/endpoints/stream_hub.h"

namespace signet::agent {

// What calls share; outlives them.
struct StreamContext {
  Cache& cache;
  StreamHub& hub;
  Interest& interest;
  const Clock& clock;
  std::function<void(const std::vector<std::string>&)>
      want;  // SVIDs of these entries are waited for
  std::function<void(const grpc::Status&)> count_end;
};

template <class Reactor, class Response>
class PushStream : public Reactor,
                   public Subscriber,
                   public std::enable_shared_from_this<PushStream<Reactor, Response>> {
 public:
  const CallerPtr& caller() const { return caller_; }

  // Call once, right after construction.
  void OwnSelf(std::shared_ptr<PushStream> self) { self_ = std::move(self); }

  // Ends the stream without an answer.
  void Refuse(const grpc::Status& status) { End(status); }

  void Stop() override { End(Refusal(grpc::StatusCode::UNAVAILABLE, kAgentStops)); }
  bool IsWaiting() const override { return waiting_; }

  void Evaluate() override {
    std::unique_lock lock(mutex_);
    if (closed_) return;
    if (writing_) {
      dirty_ = true;
      return;
    }
    dirty_ = false;
    Answer<Response> answer = Compose(*context_.cache.Current(), context_.clock.Now());
    if (!answer.missing.empty()) context_.want(answer.missing);
    const auto verdict =
        patience_.Judge(answer.kind, !answer.missing.empty(), sent_, context_.clock.SteadyNow());
    waiting_ = patience_.waiting();
    if (verdict == Patience::Verdict::kWait) return;
    if (verdict == Patience::Verdict::kEnd) {
      lock.unlock();
      return End(answer.status);
    }
    if (sent_ && answer.fingerprint && fingerprint_ == answer.fingerprint) return;
    if (!net::IsAlive(caller_->credentials)) {
      lock.unlock();
      return End(Refusal(grpc::StatusCode::UNAVAILABLE, kCallerEnded));
    }
    sent_ = true;
    fingerprint_ = answer.fingerprint;
    response_ = std::move(answer.response);
    Stamp(&response_);
    writing_ = true;
    lock.unlock();  // gRPC may call back on this very thread
    this->StartWrite(&response_);
  }

 protected:
  PushStream(StreamContext& context, CallerPtr caller, CallerTable::StreamSlot slot,
             WaitTimes times = {})
      : context_(context), caller_(std::move(caller)), slot_(std::move(slot)), patience_(times) {}

  // What there is to say at this moment. Under mutex().
  virtual Answer<Response> Compose(const Snapshot& snapshot, WallTime now) = 0;
  // This message is about to be written. Under mutex().
  virtual void Stamp(Response* /*response*/) {}

  // From now on changes are followed; the first answer comes at once. `used`: selectors of the
  // workload whose SVIDs the stream is about; empty: it is about none.
  void Follow(const identity::SelectorSet& used) {
    if (!used.empty()) {
      const std::lock_guard lock(mutex_);
      if (!closed_) interest_ = context_.interest.Add(used);
    }
    context_.hub.Add(this->shared_from_this());
    if (IsClosed()) return context_.hub.Remove(this);  // OnDone() may have been before Add()
    Evaluate();
  }

  // The one place that finishes: now, or after the write in flight.
  void End(const grpc::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      if (writing_) {
        if (!end_) end_ = status;
        return;
      }
      closed_ = true;
      waiting_ = false;
    }
    context_.count_end(status);
    this->Finish(status);
  }

  bool IsClosed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

  // Guards what derived classes hold for Compose().
  std::mutex& mutex() { return mutex_; }

 private:
  void OnWriteDone(bool ok) override {
    std::optional<grpc::Status> end;
    bool again = false;
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
      response_ = Response();  // keys, and most of what a stream costs
      end = end_;
      if (!ok && !end) end = grpc::Status(grpc::StatusCode::CANCELLED, "the caller went away");
      again = dirty_;
    }
    if (end) return End(*end);
    if (again) Evaluate();
  }

  void OnCancel() override { End({grpc::StatusCode::CANCELLED, "the caller went away"}); }

  void OnDone() override {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      waiting_ = false;
      interest_ = {};
    }
    context_.hub.Remove(this);
    const auto self = std::move(self_);
  }

  StreamContext& context_;
  const CallerPtr caller_;
  const CallerTable::StreamSlot slot_;
  std::shared_ptr<PushStream> self_;
  std::atomic<bool> waiting_{false};

  std::mutex mutex_;
  Patience patience_;
  Interest::Handle interest_;
  std::optional<ca::Sha256Digest> fingerprint_;  // of the last message
  std::optional<grpc::Status> end_;              // to finish with after the write in flight
  Response response_;
  bool sent_ = false;
  bool writing_ = false;
  bool dirty_ = false;
  bool closed_ = false;
};

}  // namespace signet::agent
