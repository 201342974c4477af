#include "net/grpc/rpc_mailbox.h"

#include "net/grpc/rpc_session.h"

namespace signet::net {

void RpcMailbox::Close() {
  std::vector<Wish> dropped;
  const std::lock_guard lock(mutex_);
  loop_ = nullptr;
  thread_ = std::thread::id();  // another thread may get the loop's, once that is gone
  dropped.swap(wishes_);
}

void RpcMailbox::Put(Wish wish) {
  const std::lock_guard lock(mutex_);
  if (loop_ == nullptr) return;
  wishes_.push_back(std::move(wish));
  if (wishes_.size() == 1) loop_->Post([self = shared_from_this()] { self->CarryOut(); });
}

void RpcMailbox::Post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (loop_ == nullptr) return;
  loop_->Post([self = shared_from_this(), task = std::move(task)] {
    const RpcTurn::Scope scope(self->turn_);
    task();
  });
}

void RpcMailbox::CarryOut() {
  std::vector<Wish> wishes;
  {
    const std::lock_guard lock(mutex_);
    wishes.swap(wishes_);
  }
  const RpcTurn::Scope scope(turn_);
  for (Wish& wish : wishes) {
    const auto stream = wish.stream;
    stream->CarryOut(std::move(wish));
  }
}

}  // namespace signet::net
