// A fixed number of threads and a bounded, fair queue: where calls do what takes CPU or waits for
// the disk, so that the loop never does. More threads than cores on purpose: those that wait for
// the journal share one write to disk.
//
// Threads: safe from any thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "identity/api/fair_queue.h"

namespace signet::identity {

inline constexpr Reason kServerBusy{"server is busy"};

class WorkerPool {
 public:
  WorkerPool(std::size_t threads, const QueueLimits& limits);
  // Runs what is queued, then stops.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False: the queue is full, or has enough of this account's; the work was not taken.
  [[nodiscard]] bool Submit(Work work);
  std::size_t queued() const;

 private:
  void Run();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  FairQueue queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace signet::identity
