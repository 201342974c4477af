// Accepts on the admin socket, in a thread of its own, and hands each connection over with what the
// kernel says of its other end.
//
// Threads: the sink is called on the listener's thread.
#pragma once

#include <functional>
#include <thread>

#include "base/log.h"
#include "net/peer_credentials.h"

namespace signet::identity {

class AdminListener {
 public:
  // `connection` is non-blocking and close-on-exec.
  using Sink = std::function<void(UniqueFd connection, const net::PeerCredentials& peer)>;

  static Result<std::unique_ptr<AdminListener>> Start(UniqueFd listener, Sink sink,
                                                      const Logger& log);
  ~AdminListener();
  // Accepts no more; returns when the thread has ended.
  void Stop();

 private:
  AdminListener(UniqueFd listener, UniqueFd stop, Sink sink, const Logger& log);
  void Run();
  void AcceptOne();

  const UniqueFd listener_;
  const UniqueFd stop_;  // an eventfd
  const Sink sink_;
  const Logger& log_;
  std::thread thread_;
};

}  // namespace signet::identity
