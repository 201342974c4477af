#include "identity/api/worker_pool.h"

namespace signet::identity {

WorkerPool::WorkerPool(std::size_t threads, const QueueLimits& limits) : queue_(limits) {
  threads_.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool WorkerPool::Submit(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || !queue_.Push(std::move(work))) return false;
  }
  wake_.notify_one();
  return true;
}

std::size_t WorkerPool::queued() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

void WorkerPool::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::optional<Work> work;
    wake_.wait(lock, [&] {
      work = queue_.Pop();
      return work || (stopping_ && queue_.empty());
    });
    if (!work) return;
    lock.unlock();
    work->run();
    work->run = nullptr;  // what it kept alive may take locks as it goes
    lock.lock();
    queue_.Done(*work);
    if (stopping_)
      wake_.notify_all();
    else if (work->is_heavy)
      wake_.notify_one();  // the account's next piece may have waited for this
  }
}

}  // namespace signet::identity
