// One unary call that is answered later, on whatever thread has the answer: at once by End(), or by
// Follow() as soon as what `encode` makes of the snapshot can be sent.
//
// Threads, ownership: as PushStream.
#pragma once

#include "agent/endpoints/push_stream.h"
#include "agent/endpoints/refusal.h"
#include "agent/endpoints/update_stream.h"

namespace signet::agent {

template <class Response>
class PendingCall final : public net::RpcHandler,
                          public Subscriber,
                          public std::enable_shared_from_this<PendingCall<Response>> {
 public:
  // What is done with the request, on the loop: must be quick.
  using Start = std::function<void(const std::shared_ptr<PendingCall>&, std::string request)>;

  static std::shared_ptr<PendingCall> Create(StreamContext& context,
                                             CallerGate::Admission admission, Start start) {
    auto call = std::shared_ptr<PendingCall>(
        new PendingCall(context, std::move(admission), std::move(start)));
    call->call_->Read();
    return call;
  }

  const CallerPtr& caller() const { return caller_; }

  void Refuse(const grpc::Status& status) { End(status, {}); }
  // The first one counts.
  void End(const grpc::Status& status, const Response& response) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      closed_ = true;
      waiting_ = false;
    }
    context_.count_end(status);
    if (status.ok()) call_->Send(response.SerializeAsString());
    call_->Finish(ToRpcStatus(status));
  }

  void Follow(Encoder<Response> encode) {
    {
      const std::lock_guard lock(mutex_);
      encode_ = std::move(encode);
    }
    context_.hub.Add(this->shared_from_this());
    if (over_) return context_.hub.Remove(this);  // OnOver() may have been before Add()
    Evaluate();
  }

  void Evaluate() override {
    std::unique_lock lock(mutex_);
    if (closed_ || over_) return;
    const Answer<Response> answer = encode_(*context_.cache.Current(), context_.clock.Now());
    if (!answer.missing.empty()) context_.want(answer.missing);
    const auto verdict =
        patience_.Judge(answer.kind, !answer.missing.empty(), false, context_.clock.SteadyNow());
    waiting_ = patience_.waiting();
    lock.unlock();
    if (verdict == Patience::Verdict::kSend) End(grpc::Status::OK, answer.response);
    if (verdict == Patience::Verdict::kEnd) Refuse(answer.status);
  }

  void Stop() override { Refuse(Refusal(grpc::StatusCode::UNAVAILABLE, kAgentStops)); }
  bool IsWaiting() const override { return waiting_ && !over_; }

  // net::RpcHandler, on the loop. The request is asked for once.
  void OnMessage(std::string request) override {
    const auto start = std::exchange(start_, nullptr);
    start(this->shared_from_this(), std::move(request));
  }
  void OnHalfClose() override { Refuse(MissingRequest()); }
  void OnOver() override {
    over_ = true;
    context_.hub.Remove(this);
  }

 private:
  PendingCall(StreamContext& context, CallerGate::Admission admission, Start start)
      : context_(context),
        caller_(std::move(admission.caller)),
        slot_(std::move(admission.slot)),
        call_(std::move(admission.call)),
        start_(std::move(start)) {}

  StreamContext& context_;
  const CallerPtr caller_;
  const CallerTable::StreamSlot slot_;
  const std::shared_ptr<net::RpcCall> call_;
  Start start_;  // the loop's
  std::atomic<bool> waiting_{false};
  std::atomic<bool> over_{false};  // nobody is there any more
  std::mutex mutex_;
  Patience patience_;
  Encoder<Response> encode_;
  bool closed_ = false;
};

}  // namespace signet::agent
