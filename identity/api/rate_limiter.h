// So many units a second for each caller, with a burst of one second's worth. What exceeds it is
// refused at once with RESOURCE_EXHAUSTED: a caller that waits would hold a worker. Who shows an
// SVID is counted by its SPIFFE ID, wherever it calls from; who does not, by its address.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>

#include "base/clock.h"
#include "base/result.h"
#include "identity/api/caller.h"
#include "identity/api/caller_rows.h"

namespace signet::identity {

inline constexpr Reason kRateExceeded{"rate limit exceeded"};

class RateLimiter {
 public:
  // `rate` 0: no limit.
  RateLimiter(std::size_t rate, const Clock& clock) : rate_(rate), clock_(clock) {}

  // Takes `units`, or none: fails with kRateExceeded. Callers on the admin socket are not limited.
  Status Take(const Caller& caller, std::size_t units);

 private:
  static constexpr std::size_t kMostCallers = 100'000;
  const std::size_t rate_;
  const Clock& clock_;
  std::mutex mutex_;
  CallerRows<TokenBucket> buckets_{kMostCallers, [this](SteadyTime now) {
                                     const auto most = static_cast<double>(rate_);
                                     return TokenBucket(most, most, now);
                                   }};
};

}  // namespace signet::identity
