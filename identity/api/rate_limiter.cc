#include "identity/api/rate_limiter.h"

namespace signet::identity {

Status RateLimiter::Take(const Caller& caller, std::size_t units) {
  if (rate_ == 0 || caller.kind == CallerKind::kLocal) return {};
  const auto now = clock_.SteadyNow();
  if (units <= rate_) {
    const std::lock_guard lock(mutex_);
    TokenBucket* const bucket = buckets_.Find(caller.Account(), now);
    if (bucket != nullptr && bucket->Take(static_cast<double>(units), now)) return {};
  }
  return Fail(Code::kResourceExhausted, kRateExceeded,
              "at most " + std::to_string(rate_) + " a second from one caller; try again later");
}

}  // namespace signet::identity
