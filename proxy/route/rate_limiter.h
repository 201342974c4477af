// How many requests a listener takes: of one caller, and of all. The caller's own limit is asked
// first and nothing is taken from the total unless both grant it, so one that asks too much drains
// its own share only. A token bucket each, kept as the one time at which it would be full again
// (GCRA).
//
// Threads: safe from any thread; one is shared by all workers. Time is passed in.
#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "mesh/routes/rate_limit.h"

namespace signet::proxy {

class RateLimiter {
 public:
  explicit RateLimiter(mesh::RateLimits limits, std::size_t max_callers = 65536)
      : limits_(limits), max_callers_(max_callers) {}

  // Takes one, or answers after what time there may be one again. `caller`: empty where callers
  // have no identity: they are one.
  std::optional<Duration> Take(const std::string& caller, SteadyTime now);
  const mesh::RateLimits& limits() const { return limits_; }

 private:
  // The time at which it is full again; in the past: it is.
  using FullAt = SteadyTime;
  struct Caller {
    std::string name;
    FullAt full_at{};
  };
  using Callers = std::list<Caller>;

  // Nothing: it would be granted.
  static std::optional<Duration> Ask(const mesh::RateLimit& limit, FullAt full_at, SteadyTime now);
  static FullAt Taken(const mesh::RateLimit& limit, FullAt full_at, SteadyTime now);
  Caller& Find(const std::string& name);

  const mesh::RateLimits limits_;
  const std::size_t max_callers_;
  std::mutex mutex_;
  FullAt total_full_at_{};                                     // guarded by mutex_
  Callers callers_;                                            // guarded by mutex_; newest first
  std::unordered_map<std::string, Callers::iterator> places_;  // guarded by mutex_
};

}  // namespace signet::proxy
