// A clock that stands still until a test moves it.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>

#include "base/clock.h"

namespace signet::test {

class FakeClock final : public Clock {
 public:
  // 2026-01-01T00:00:00Z unless told otherwise.
  static constexpr std::int64_t kDefaultUnixSeconds = 1767225600;

  FakeClock() : FakeClock(FromUnixSeconds(kDefaultUnixSeconds)) {}
  explicit FakeClock(WallTime wall) : wall_(wall), steady_(std::chrono::hours(1)) {}

  WallTime Now() const override {
    const std::lock_guard lock(mutex_);
    return wall_;
  }
  SteadyTime SteadyNow() const override {
    const std::lock_guard lock(mutex_);
    return steady_;
  }

  // Both times move on together, as they do in life.
  void Advance(Duration by) {
    const std::lock_guard lock(mutex_);
    wall_ += std::chrono::duration_cast<WallTime::duration>(by);
    steady_ += std::chrono::duration_cast<SteadyTime::duration>(by);
  }
  // Wall time alone: someone set the clock.
  void SetWall(WallTime wall) {
    const std::lock_guard lock(mutex_);
    wall_ = wall;
  }
  void SetSteady(SteadyTime steady) {
    const std::lock_guard lock(mutex_);
    steady_ = steady;
  }

 private:
  mutable std::mutex mutex_;
  WallTime wall_;
  SteadyTime steady_;
};

}  // namespace signet::test
