// A server-streaming call whose messages are all of one kind: what `encode` makes of the snapshot.
#pragma once

#include "agent/endpoints/push_stream.h"

namespace signet::agent {

template <class Response>
using Encoder = std::function<Answer<Response>(const Snapshot& snapshot, WallTime now)>;

template <class Response>
class UpdateStream final : public PushStream<grpc::ServerWriteReactor<Response>, Response> {
 public:
  static std::shared_ptr<UpdateStream> Create(StreamContext& context, CallerPtr caller,
                                              CallerTable::StreamSlot slot) {
    auto stream = std::shared_ptr<UpdateStream>(
        new UpdateStream(context, std::move(caller), std::move(slot)));
    stream->OwnSelf(stream);
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

 private:
  using Base = PushStream<grpc::ServerWriteReactor<Response>, Response>;
  UpdateStream(StreamContext& context, CallerPtr caller, CallerTable::StreamSlot slot)
      : Base(context, std::move(caller), std::move(slot)) {}

  Answer<Response> Compose(const Snapshot& snapshot, WallTime now) override {
    return encode_(snapshot, now);
  }

  Encoder<Response> encode_;
};

// A stream that ends before it began.
template <class Reactor>
class RefusedStream final : public Reactor {
 public:
  explicit RefusedStream(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace signet::agent
