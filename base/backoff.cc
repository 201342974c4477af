#include "base/backoff.h"

#include <algorithm>

namespace signet {

Duration DrawBackoff(unsigned failures, const BackoffPolicy& policy, Random& random) {
  using Seconds = std::chrono::duration<double>;
  const double doublings = static_cast<double>(1ULL << std::min(failures, 30U));
  const double bound =
      std::min(Seconds(policy.most).count(), Seconds(policy.first).count() * doublings);
  return std::chrono::duration_cast<Duration>(Seconds(bound * random.Unit()));
}

Duration DrawPause(Duration asked, Random& random) {
  using Seconds = std::chrono::duration<double>;
  return asked + std::chrono::duration_cast<Duration>(Seconds(asked) * random.Unit());
}

}  // namespace signet
