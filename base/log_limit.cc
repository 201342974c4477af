#include "base/log_limit.h"

#include <utility>

namespace signet {

std::optional<std::uint64_t> LogLimiter::Admit() {
  const SteadyTime now = clock_.SteadyNow();
  const std::lock_guard lock(mutex_);
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    written_ = 0;
  }
  if (written_ >= limit_) {
    ++left_out_;
    return std::nullopt;
  }
  ++written_;
  return std::exchange(left_out_, 0);
}

}  // namespace signet
