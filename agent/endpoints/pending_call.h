// One unary call that is answered later, on whatever thread has the answer: at once by End(), or by
// Follow() as soon as what `encode` makes of the snapshot can be sent.
//
// Ownership: the call owns itself until gRPC's OnDone.
#pragma once

#include "agent/endpoints/push_stream.h"
#include "agent/endpoints/refusal.h"
#include "agent/endpoints/update_stream.h"

namespace signet::agent {

template <class Response>
class PendingCall final : public grpc::ServerUnaryReactor,
                          public Subscriber,
                          public std::enable_shared_from_this<PendingCall<Response>> {
 public:
  // `response` is gRPC's, good until the call ends.
  static std::shared_ptr<PendingCall> Create(StreamContext& context, CallerPtr caller,
                                             CallerTable::StreamSlot slot, Response* response) {
    auto call = std::shared_ptr<PendingCall>(
        new PendingCall(context, std::move(caller), std::move(slot), response));
    call->self_ = call;
    return call;
  }

  const CallerPtr& caller() const { return caller_; }

  void Refuse(const grpc::Status& status) { End(status, {}); }
  // The first one counts.
  void End(const grpc::Status& status, Response response) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      closed_ = true;
      waiting_ = false;
      *response_ = std::move(response);
    }
    context_.count_end(status);
    this->Finish(status);
  }

  void Follow(Encoder<Response> encode) {
    {
      const std::lock_guard lock(mutex_);
      encode_ = std::move(encode);
    }
    context_.hub.Add(this->shared_from_this());
    if (IsClosed()) return context_.hub.Remove(this);
    Evaluate();
  }

  void Evaluate() override {
    std::unique_lock lock(mutex_);
    if (closed_) return;
    Answer<Response> answer = encode_(*context_.cache.Current(), context_.clock.Now());
    if (!answer.missing.empty()) context_.want(answer.missing);
    const auto verdict =
        patience_.Judge(answer.kind, !answer.missing.empty(), false, context_.clock.SteadyNow());
    waiting_ = patience_.waiting();
    lock.unlock();
    if (verdict == Patience::Verdict::kSend) End(grpc::Status::OK, std::move(answer.response));
    if (verdict == Patience::Verdict::kEnd) Refuse(answer.status);
  }

  void Stop() override { Refuse(Refusal(grpc::StatusCode::UNAVAILABLE, kAgentStops)); }
  bool IsWaiting() const override { return waiting_; }

 private:
  PendingCall(StreamContext& context, CallerPtr caller, CallerTable::StreamSlot slot,
              Response* response)
      : context_(context),
        caller_(std::move(caller)),
        slot_(std::move(slot)),
        response_(response) {}

  bool IsClosed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  void OnCancel() override { Refuse({grpc::StatusCode::CANCELLED, "the caller went away"}); }
  void OnDone() override {
    context_.hub.Remove(this);
    const auto self = std::move(self_);
  }

  StreamContext& context_;
  const CallerPtr caller_;
  const CallerTable::StreamSlot slot_;
  std::shared_ptr<PendingCall> self_;
  std::atomic<bool> waiting_{false};
  std::mutex mutex_;
  Patience patience_;
  Encoder<Response> encode_;
  Response* const response_;
  bool closed_ = false;
};

}  // namespace signet::agent
