// How many requests a listener takes in a time: of one caller, and of all.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/config.h"

namespace signet::mesh {

// `requests` in each `per`, evenly; `burst` at once after a quiet while.
struct RateLimit {
  std::int64_t requests = 1;
  Duration per = std::chrono::seconds(1);
  std::int64_t burst = 1;
  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

struct RateLimits {
  std::optional<RateLimit> per_identity;
  std::optional<RateLimit> total;
  bool any() const { return per_identity || total; }
  friend bool operator==(const RateLimits&, const RateLimits&) = default;
};

// Reads `rate_limits` of a listener; each fault is a problem.
RateLimits ReadRateLimits(ConfigMap& listener);

}  // namespace signet::mesh
