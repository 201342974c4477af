// A fixed number of threads and a bounded queue: where calls do what takes CPU or waits for the
// disk, so that gRPC's own threads never do. More threads than cores on purpose: those that wait
// for the journal share one write to disk.
//
// Threads: safe from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kServerBusy{"server is busy"};

class WorkerPool {
 public:
  WorkerPool(std::size_t threads, std::size_t queue_limit);
  // Runs what is queued, then stops.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False: the queue is full, and the task was not taken.
  [[nodiscard]] bool Submit(std::function<void()> task);
  std::size_t queued() const;

 private:
  void Run();

  const std::size_t queue_limit_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace signet::identity
