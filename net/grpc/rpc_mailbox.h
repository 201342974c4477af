// How threads that are not the loop's reach calls: what they ask for waits here until the loop
// carries it out, all that has gathered at once.
//
// Threads: safe from any thread, but for Open() and Close(), which are the loop's.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/event_loop.h"
#include "net/grpc/rpc.h"
#include "net/grpc/rpc_turn.h"

namespace signet::net {

class RpcStream;

class RpcMailbox : public std::enable_shared_from_this<RpcMailbox> {
 public:
  struct Wish {
    enum class Kind { kRead, kSend, kFinish };
    Kind kind = Kind::kRead;
    std::shared_ptr<RpcStream> stream;
    std::string message;  // kSend
    RpcStatus status;     // kFinish
  };

  // Both outlive Close().
  RpcMailbox(EventLoop& loop, RpcTurn& turn) : turn_(turn), loop_(&loop) {}
  void Open() { thread_ = std::this_thread::get_id(); }
  // Nothing is carried out any more.
  void Close();
  bool InLoop() const { return thread_ == std::this_thread::get_id(); }
  void Put(Wish wish);
  // Runs `task` in the loop; not at all once closed.
  void Post(std::function<void()> task);

 private:
  void CarryOut();

  RpcTurn& turn_;
  std::atomic<std::thread::id> thread_;
  std::mutex mutex_;
  EventLoop* loop_;  // null: closed
  std::vector<Wish> wishes_;
};

}  // namespace signet::net
