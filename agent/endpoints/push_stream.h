// One call that pushes: a message when what is to be said is new, and only then. At most one
// message is under way, and what changes meanwhile is merged into the next one, so a caller that
// never reads costs one message. What is said is decided by the classes derived from it.
//
// Threads: safe from any thread. The loop never waits for mutex(): views are composed under it.
// Ownership: its session keeps it until the call is over, and whoever works for it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "agent/cache/cache.h"
#include "agent/cache/interest.h"
#include "agent/endpoints/answer.h"
#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/patience.h"
#include "agent/endpoints/refusal.h"
#include "agent/endpoints/stream_hub.h"

namespace signet::agent {

// What calls share; outlives them.
struct StreamContext {
  Cache& cache;
  StreamHub& hub;
  Interest& interest;
  AttestationPool& pool;
  const Clock& clock;
  std::function<void(const std::vector<std::string>&)>
      want;  // SVIDs of these entries are waited for
  std::function<void(const grpc::Status&)> count_end;
};

template <class Response>
class PushStream : public net::RpcHandler,
                   public Subscriber,
                   public std::enable_shared_from_this<PushStream<Response>> {
 public:
  const CallerPtr& caller() const { return caller_; }

  // Ends the stream without an answer.
  void Refuse(const grpc::Status& status) { End(status); }

  void Stop() override { End(Refusal(grpc::StatusCode::UNAVAILABLE, kAgentStops)); }
  bool IsWaiting() const override { return waiting_ && !over_; }

  void Evaluate() override {
    std::unique_lock lock(mutex_);
    if (closed_ || over_) return;
    if (const auto end = Absorb()) {
      lock.unlock();
      return End(*end);
    }
    if (IsWriting()) return;
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
    Stamp(&answer.response);
    writing_ = true;
    call_->Send(answer.response.SerializeAsString());
  }

  // net::RpcHandler, on the loop.
  void OnSent() override {
    writing_ = false;
    if (dirty_) context_.hub.Ask(this->shared_from_this());
  }
  void OnOver() override {
    over_ = true;
    context_.hub.Remove(this);
  }

 protected:
  PushStream(StreamContext& context, CallerGate::Admission admission, WaitTimes times = {})
      : context_(context),
        caller_(std::move(admission.caller)),
        slot_(std::move(admission.slot)),
        call_(std::move(admission.call)),
        patience_(times) {}

  // What there is to say at this moment. Under mutex().
  virtual Answer<Response> Compose(const Snapshot& snapshot, WallTime now) = 0;
  // This message is about to be written. Under mutex().
  virtual void Stamp(Response* /*response*/) {}
  // Takes in what the caller said since; a status ends the stream. Under mutex().
  virtual std::optional<grpc::Status> Absorb() { return std::nullopt; }

  // From now on changes are followed; the first answer comes at once. `used`: selectors of the
  // workload whose SVIDs the stream is about; empty: it is about none.
  void Follow(const identity::SelectorSet& used) {
    if (!used.empty()) {
      const std::lock_guard lock(mutex_);
      if (!closed_ && !over_) interest_ = context_.interest.Add(used);
    }
    context_.hub.Add(this->shared_from_this());
    if (over_) return context_.hub.Remove(this);  // OnOver() may have been before Add()
    Evaluate();
  }

  // The one place that finishes: after what was sent.
  void End(const grpc::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      closed_ = true;
      waiting_ = false;
    }
    context_.count_end(status);
    call_->Finish(ToRpcStatus(status));
  }

  net::RpcCall& call() { return *call_; }
  StreamContext& context() { return context_; }
  // Guards what derived classes hold for Compose().
  std::mutex& mutex() { return mutex_; }

 private:
  // If so, OnSent() asks for the next look.
  bool IsWriting() {
    dirty_ = true;
    if (writing_) return true;
    dirty_ = false;
    return false;
  }

  StreamContext& context_;
  const CallerPtr caller_;
  const CallerTable::StreamSlot slot_;
  const std::shared_ptr<net::RpcCall> call_;
  std::atomic<bool> waiting_{false};
  std::atomic<bool> over_{false};     // nobody is there any more
  std::atomic<bool> writing_{false};  // a message is under way
  std::atomic<bool> dirty_{false};    // and something changed since

  std::mutex mutex_;
  Patience patience_;
  Interest::Handle interest_;
  std::optional<ca::Sha256Digest> fingerprint_;  // of the last message
  bool sent_ = false;
  bool closed_ = false;
};

}  // namespace signet::agent
