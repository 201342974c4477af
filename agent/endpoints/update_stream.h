// A server-streaming call whose messages are all of one kind: what `encode` makes of the snapshot.
#pragma once

#include "agent/endpoints/push_stream.h"

namespace signet::agent {

template <class Response>
using Encoder = std::function<Answer<Response>(const Snapshot& snapshot, WallTime now)>;

template <class Response>
class UpdateStream final : public PushStream<Response> {
 public:
  // What is done with the request, on the loop: must be quick.
  using Start = std::function<void(const std::shared_ptr<UpdateStream>&, std::string request)>;

  static std::shared_ptr<UpdateStream> Create(StreamContext& context,
                                              CallerGate::Admission admission, Start start) {
    auto stream = std::shared_ptr<UpdateStream>(
        new UpdateStream(context, std::move(admission), std::move(start)));
    stream->call().Read();
    return stream;
  }

  // The caller is attested: the first answer follows. `used` as for Follow().
  void Begin(const identity::SelectorSet& used, Encoder<Response> encode) {
    {
      const std::lock_guard lock(this->mutex());
      encode_ = std::move(encode);
    }
    this->Follow(used);
  }

  // Asked for once, so one of these comes, once.
  void OnMessage(std::string request) override {
    const auto start = std::exchange(start_, nullptr);
    start(std::static_pointer_cast<UpdateStream>(this->shared_from_this()), std::move(request));
  }
  void OnHalfClose() override { this->Refuse(MissingRequest()); }

 private:
  UpdateStream(StreamContext& context, CallerGate::Admission admission, Start start)
      : PushStream<Response>(context, std::move(admission)), start_(std::move(start)) {}

  Answer<Response> Compose(const Snapshot& snapshot, WallTime now) override {
    return encode_(snapshot, now);
  }

  Start start_;  // the loop's
  Encoder<Response> encode_;
};

}  // namespace signet::agent
