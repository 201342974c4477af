// What a peer of an HTTP/2 connection may make us do for nothing: resets, pings, settings, empty
// frames. Counts down with what is charged, up with time and with useful work.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace signet::net {

class Http2Budget {
 public:
  Http2Budget(double most, double per_second, SteadyTime now)
      : most_(most), per_second_(per_second), left_(most), at_(now) {}
  // False when it is used up.
  bool Charge(SteadyTime now, double cost = 1) {
    const double passed = std::chrono::duration<double>(now - at_).count();
    left_ = std::min(most_, left_ + per_second_ * passed) - cost;
    at_ = now;
    return left_ >= 0;
  }
  void Earn(double amount = 1) { left_ = std::min(most_, left_ + amount); }

 private:
  const double most_, per_second_;
  double left_;
  SteadyTime at_;
};

}  // namespace signet::net
