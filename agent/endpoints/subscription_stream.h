// A stream in both directions: what the caller says changes what it is told. One message is taken
// in at a time, on the hub's thread, and the next one is read after that.
#pragma once

#include "agent/endpoints/push_stream.h"

namespace signet::agent {

template <class Request, class Response>
class SubscriptionStream : public PushStream<Response> {
 public:
  // The caller is attested; `selectors` are its.
  void Begin(const identity::SelectorSet& selectors) {
    {
      const std::lock_guard lock(this->mutex());
      selectors_ = selectors;
    }
    this->Follow(selectors);
  }

  // net::RpcHandler, on the loop.
  void OnMessage(std::string message) override {
    const std::size_t size = message.size();
    {
      const std::lock_guard lock(inbox_mutex_);
      inbox_ = std::move(message);
    }
    // Who says much keeps nobody waiting at the hub.
    if (size > kQuickRequest &&
        this->context().pool.Submit([self = this->shared_from_this()] { self->Evaluate(); }))
      return;
    this->context().hub.Ask(this->shared_from_this());
  }
  // Nothing more is asked for.
  void OnHalfClose() override {
    {
      const std::lock_guard lock(inbox_mutex_);
      half_closed_ = true;
    }
    this->context().hub.Ask(this->shared_from_this());
  }

 protected:
  using PushStream<Response>::PushStream;

  // What the request changes; a status ends the stream. Under mutex().
  virtual grpc::Status Take(const Request& request) = 0;
  // Absent until the caller is attested. Under mutex().
  const std::optional<identity::SelectorSet>& selectors() const { return selectors_; }

 private:
  std::optional<grpc::Status> Absorb() override {
    std::optional<std::string> message;
    {
      const std::lock_guard lock(inbox_mutex_);
      message = std::exchange(inbox_, std::nullopt);
      if (!message && half_closed_) return grpc::Status::OK;
    }
    if (!message) return std::nullopt;
    Request request;
    if (!request.ParseFromString(*message)) return MalformedRequest();
    if (const grpc::Status taken = Take(request); !taken.ok()) return taken;
    this->call().Read();
    return std::nullopt;
  }

  std::mutex inbox_mutex_;
  std::optional<std::string> inbox_;  // the message that was read last, until it is taken in
  bool half_closed_ = false;

  // Under mutex():
  std::optional<identity::SelectorSet> selectors_;
};

}  // namespace signet::agent
