// Wall and steady time as a dependency. Built in main.cc; no default clock anywhere.
//
// Threads: implementations are safe to call from any thread.
#pragma once

#include <chrono>
#include <string>

namespace signet {

using WallTime = std::chrono::system_clock::time_point;
using SteadyTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime Now() const = 0;
  virtual SteadyTime SteadyNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  WallTime Now() const override;
  SteadyTime SteadyNow() const override;
};

// Whole seconds since the epoch, rounded down.
std::int64_t UnixSeconds(WallTime time);
WallTime FromUnixSeconds(std::int64_t seconds);
// "2026-11-23T16:58:48Z".
std::string FormatTime(WallTime time);
// "90s", "1h30m", "250ms": two most significant units.
std::string FormatDuration(Duration duration);

}  // namespace signet
