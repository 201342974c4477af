// How many requests may be sent again: a share of those that came within the last ten seconds, and
// a few a second whatever came. A backend that fails altogether is asked that much more, and no
// more.
//
// Threads: one worker's. Time is passed in.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"
#include "mesh/routes/backend.h"

namespace signet::proxy {

class RetryBudget {
 public:
  void OnRequest(SteadyTime now);
  // Takes one out. False when there is none left.
  bool TryRetry(const mesh::RetryBudget& limits, SteadyTime now);

 private:
  static constexpr std::int64_t kSeconds = 10;
  struct Second {
    std::int64_t at = 0;  // which second it counts for
    std::uint64_t requests = 0;
    std::uint64_t retries = 0;
  };
  Second& Now(SteadyTime now);

  std::array<Second, kSeconds> seconds_;
};

}  // namespace signet::proxy
