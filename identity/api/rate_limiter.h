// So many units a second for each remote address, with a burst of one second's worth. What exceeds
// it is refused at once with RESOURCE_EXHAUSTED: a caller that waits would hold a worker.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "identity/api/caller.h"

namespace signet::identity {

inline constexpr Reason kRateExceeded{"rate limit exceeded"};

class RateLimiter {
 public:
  // `rate` 0: no limit.
  RateLimiter(std::size_t rate, const Clock& clock) : rate_(rate), clock_(clock) {}

  // Takes `units`, or none: fails with kRateExceeded. Callers on the admin socket are not limited.
  Status Take(const Caller& caller, std::size_t units);

 private:
  struct Bucket {
    double units = 0;
    SteadyTime filled{};
  };
  const std::size_t rate_;
  const Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Bucket>
      buckets_;  // by address without port; full ones are dropped
};

}  // namespace signet::identity
