// One server-streaming call of the Workload API: a message when the caller's view is new, and only
// then. At most one message is in flight, and what changes meanwhile is merged into the next one,
// so a caller that never reads costs one message.
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
#include "agent/endpoints/answers.h"
#include "agent/endpoints/caller_table.h"
#include "agent/endpoints/stream_hub.h"

namespace signet::agent {

// What streams share; outlives them.
struct StreamContext {
  Cache& cache;
  StreamHub& hub;
  Interest& interest;
  const Clock& clock;
  std::function<void(const std::vector<std::string>&)>
      want;  // SVIDs of these entries are waited for
  std::function<void(const grpc::Status&)> count_end;
};

struct StreamTimes {
  Duration not_ready = std::chrono::seconds(2);   // then UNAVAILABLE
  Duration nothing = std::chrono::seconds(30);    // without any SVID to give: UNAVAILABLE
  Duration incomplete = std::chrono::seconds(3);  // the first message waits for missing SVIDs
};

template <class Response>
class UpdateStream final : public grpc::ServerWriteReactor<Response>,
                           public Subscriber,
                           public std::enable_shared_from_this<UpdateStream<Response>> {
 public:
  using Encoder = Answer<Response> (*)(const WorkloadView&);

  static std::shared_ptr<UpdateStream> Create(StreamContext& context, CallerPtr caller,
                                              CallerTable::StreamSlot slot, Encoder encode) {
    auto stream = std::shared_ptr<UpdateStream>(
        new UpdateStream(context, std::move(caller), std::move(slot), encode));
    stream->self_ = stream;
    return stream;
  }

  const Caller& caller() const { return *caller_; }

  // The caller is attested: the first answer follows.
  void Begin(identity::SelectorSet selectors) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      interest_ = context_.interest.Add(selectors);
      selectors_ = std::move(selectors);
      waiting_since_ = context_.clock.SteadyNow();
      waiting_ = true;
    }
    context_.hub.Add(this->shared_from_this());
    if (IsClosed()) return context_.hub.Remove(this);  // OnDone() may have been before Add()
    Evaluate();
  }

  // Ends the stream without an answer.
  void Refuse(const grpc::Status& status) { End(status); }

  void Stop() override { End({grpc::StatusCode::UNAVAILABLE, "the agent stops"}); }
  bool IsWaiting() const override { return waiting_; }

  void Evaluate() override {
    std::unique_lock lock(mutex_);
    if (closed_ || !selectors_) return;
    if (writing_) {
      dirty_ = true;
      return;
    }
    dirty_ = false;
    WorkloadView view = ViewFor(*context_.cache.Current(), *selectors_, context_.clock.Now());
    if (sent_ && !waiting_ && view == seen_) return;  // nothing of this caller's has changed
    Answer<Response> answer = encode_(view);
    if (!answer.missing.empty()) context_.want(answer.missing);
    if (answer.kind == AnswerKind::kEnd || HasWaitedLongEnough(answer)) {
      lock.unlock();
      return End(answer.status);
    }
    if (waiting_) return;
    if (sent_ && *sent_ == answer.fingerprint) {
      seen_ = std::move(view);
      return;
    }
    if (!net::IsAlive(caller_->credentials)) {
      lock.unlock();
      return End({grpc::StatusCode::UNAVAILABLE, "the process that connected is gone"});
    }
    sent_ = answer.fingerprint;
    seen_ = std::move(view);
    response_ = std::move(answer.response);
    writing_ = true;
    lock.unlock();  // gRPC may call back on this very thread
    this->StartWrite(&response_);
  }

 private:
  UpdateStream(StreamContext& context, CallerPtr caller, CallerTable::StreamSlot slot,
               Encoder encode)
      : context_(context), caller_(std::move(caller)), slot_(std::move(slot)), encode_(encode) {}

  bool IsClosed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

  // Keeps waiting_ up to date. True: `answer.status` ends the stream.
  bool HasWaitedLongEnough(const Answer<Response>& answer) {
    const SteadyTime now = context_.clock.SteadyNow();
    const bool incomplete = answer.kind == AnswerKind::kSend && !answer.missing.empty() && !sent_;
    const bool waits =
        answer.kind == AnswerKind::kNotReady || answer.kind == AnswerKind::kWait || incomplete;
    if (waits && !waiting_) waiting_since_ = now;
    const Duration waited = now - waiting_since_;
    waiting_ = waits && !(incomplete && waited >= kTimes.incomplete);
    if (answer.kind == AnswerKind::kNotReady)
      return sent_.has_value() || waited >= kTimes.not_ready;
    return answer.kind == AnswerKind::kWait && waited >= kTimes.nothing;
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

  static constexpr StreamTimes kTimes{};
  StreamContext& context_;
  const CallerPtr caller_;
  const CallerTable::StreamSlot slot_;
  const Encoder encode_;
  std::shared_ptr<UpdateStream> self_;
  std::atomic<bool> waiting_{false};

  std::mutex mutex_;
  std::optional<identity::SelectorSet> selectors_;  // set once attested
  Interest::Handle interest_;
  std::optional<ca::Sha256Digest> sent_;  // fingerprint of the last message
  WorkloadView seen_;                     // what the last message was made from
  std::optional<grpc::Status> end_;       // to finish with after the write in flight
  SteadyTime waiting_since_;
  Response response_;
  bool writing_ = false;
  bool dirty_ = false;
  bool closed_ = false;
};

}  // namespace signet::agent
