#include "agent/endpoints/stream_hub.h"

#include <utility>

namespace signet::agent {
namespace {

constexpr std::chrono::seconds kLookEvery(1);

}  // namespace

StreamHub::StreamHub() : thread_([this] { Loop(); }) {}

StreamHub::~StreamHub() { Stop(); }

void StreamHub::Add(std::shared_ptr<Subscriber> subscriber) {
  const std::lock_guard lock(mutex_);
  Subscriber* const key = subscriber.get();
  subscribers_[key] = std::move(subscriber);
}

void StreamHub::Remove(Subscriber* subscriber) {
  std::shared_ptr<Subscriber> removed;  // goes after the lock
  const std::lock_guard lock(mutex_);
  const auto found = subscribers_.find(subscriber);
  if (found == subscribers_.end()) return;
  removed = std::move(found->second);
  subscribers_.erase(found);
}

void StreamHub::Wake() {
  {
    const std::lock_guard lock(mutex_);
    awake_ = true;
  }
  changed_.notify_one();
}

void StreamHub::Ask(std::shared_ptr<Subscriber> subscriber) {
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back(std::move(subscriber));
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
    asked_.clear();
    left = subscribers_;
  }
  for (const auto& [key, subscriber] : left) subscriber->Stop();
}

StreamHub::Round StreamHub::NextRound() {
  Round round = std::exchange(asked_, {});
  const bool all = std::exchange(awake_, false);
  const auto now = std::chrono::steady_clock::now();
  if (!all && now < look_at_) return round;
  look_at_ = now + kLookEvery;
  for (const auto& [key, subscriber] : subscribers_)
    if (all || subscriber->IsWaiting()) round.push_back(subscriber);
  return round;
}

void StreamHub::Loop() {
  while (true) {
    Round round;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kLookEvery, [&] { return awake_ || stopping_ || !asked_.empty(); });
      if (stopping_) return;
      round = NextRound();
    }
    for (const auto& subscriber : round) subscriber->Evaluate();
  }
}

}  // namespace signet::agent
