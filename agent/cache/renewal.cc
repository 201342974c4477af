#include "agent/cache/renewal.h"

#include <algorithm>

namespace signet::agent {

WallTime DrawRenewalTime(WallTime not_before, WallTime not_after, Random& random) {
  const auto half = std::chrono::duration<double>(not_after - not_before) / 2;
  const auto left = half * (0.9 + 0.2 * random.Unit());
  return not_after - std::chrono::duration_cast<WallTime::duration>(left);
}

WallTime DrawRenewalOfNew(WallTime not_before, WallTime not_after, WallTime now, Random& random) {
  const WallTime drawn = DrawRenewalTime(not_before, not_after, random);
  return drawn > now ? drawn : now + (not_after - now) / 2;
}

Duration DrawBackoff(unsigned failures, const BackoffPolicy& policy, Random& random) {
  const double doublings = static_cast<double>(1ULL << std::min(failures, 30U));
  const double bound = std::min(std::chrono::duration<double>(policy.most).count(),
                                std::chrono::duration<double>(policy.first).count() * doublings);
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(bound * random.Unit()));
}

}  // namespace signet::agent
