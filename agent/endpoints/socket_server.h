// One Unix socket with calls on it: one thread accepts, notes who connects, reads, and begins and
// answers calls (net/grpc). Which calls there are is the caller's business.
//
// Threads: as it says; a socket's own thread is its loop.
#pragma once

#include <memory>

#include "agent/endpoints/call_table.h"
#include "agent/endpoints/caller_table.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

class SocketServer {
 public:
  SocketServer(const CallerLimits& limits, const Clock& clock, const Logger& log, Metrics& metrics);
  ~SocketServer();

  CallerTable& callers();

  // `listener` is a non-blocking listening Unix socket; `calls` outlives Stop(). Call once. Fails
  // when the kernel has no descriptor left.
  Status Serve(UniqueFd listener, CallTable& calls);
  // Accepts no more.
  void StopAccepting();
  // After StopAccepting(): ends what is open, by force after a grace.
  void Stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace signet::agent
