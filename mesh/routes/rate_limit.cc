#include "mesh/routes/rate_limit.h"

namespace signet::mesh {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kMaxRequests = 10'000'000;

std::optional<RateLimit> ReadLimit(ConfigMap& limits, std::string_view key) {
  auto map = limits.Map(key);
  if (!map) return std::nullopt;
  RateLimit limit;
  if (!map->Has("requests"))
    map->ProblemAtLine(map->line(), "the limit does not say how many", "requests: 100");
  limit.requests = map->Int("requests", 1, 1, kMaxRequests);
  limit.per = map->Duration("per", 1s, 1ms, 1h);
  limit.burst = map->Int("burst", limit.requests, 1, kMaxRequests);
  if (limit.per / limit.requests < 1ns)
    map->Problem("requests", "more than one in a nanosecond", "a longer 'per', or no limit");
  map->Finish();
  return limit;
}

}  // namespace

RateLimits ReadRateLimits(ConfigMap& listener) {
  RateLimits limits;
  auto map = listener.Map("rate_limits");
  if (!map) return limits;
  limits.per_identity = ReadLimit(*map, "per_identity");
  limits.total = ReadLimit(*map, "total");
  if (!limits.any())
    map->ProblemAtLine(map->line(), "rate_limits limits nothing", "per_identity, total, or both");
  map->Finish();
  return limits;
}

}  // namespace signet::mesh
