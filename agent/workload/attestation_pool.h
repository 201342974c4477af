// A few threads that attest callers, so that a slow disk or name service never holds up the threads
// of the sockets. The queue is bounded: more work than that is refused, not kept waiting.
//
// Threads: safe from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace signet::agent {

class AttestationPool {
 public:
  explicit AttestationPool(std::size_t threads = 2, std::size_t queue_limit = 4096);
  ~AttestationPool();
  // False: the queue is full, or the pool has stopped.
  bool Submit(std::function<void()> job);
  // Waits for the jobs begun; those not begun are dropped.
  void Stop();

 private:
  void Work();

  const std::size_t queue_limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace signet::agent
