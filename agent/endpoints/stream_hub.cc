#include "agent/endpoints/stream_hub.h"

#include <utility>
#include <vector>

namespace signet::agent {

StreamHub::StreamHub() : thread_([this] { Loop(); }) {}

StreamHub::~StreamHub() { Stop(); }

void StreamHub::Add(std::shared_ptr<Subscriber> subscriber) {
  const std::lock_guard lock(mutex_);
  Subscriber* const key = subscriber.get();
  subscribers_[key] = std::move(subscriber);
}

void StreamHub::Remove(Subscriber* subscriber) {
  const std::lock_guard lock(mutex_);
  subscribers_.erase(subscriber);
}

void StreamHub::Wake() {
  {
    const std::lock_guard lock(mutex_);
    awake_ = true;
  }
  changed_.notify_one();
}

void StreamHub::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (!thread_.joinable()) return;
  thread_.join();
  std::map<Subscriber*, std::shared_ptr<Subscriber>> left;
  {
    const std::lock_guard lock(mutex_);
    left = subscribers_;
  }
  for (const auto& [key, subscriber] : left) subscriber->Stop();
}

void StreamHub::Loop() {
  while (true) {
    std::vector<std::shared_ptr<Subscriber>> round;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::seconds(1), [&] { return awake_ || stopping_; });
      if (stopping_) return;
      const bool all = std::exchange(awake_, false);
      for (const auto& [key, subscriber] : subscribers_)
        if (all || subscriber->IsWaiting()) round.push_back(subscriber);
    }
    for (const auto& subscriber : round) subscriber->Evaluate();
  }
}

}  // namespace signet::agent
