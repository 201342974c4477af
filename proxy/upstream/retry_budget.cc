#include "proxy/upstream/retry_budget.h"

namespace signet::proxy {
namespace {

std::int64_t SecondOf(SteadyTime now) {
  return std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
}

}  // namespace

RetryBudget::Second& RetryBudget::Now(SteadyTime now) {
  const std::int64_t at = SecondOf(now);
  Second& second = seconds_[static_cast<std::size_t>(at % kSeconds)];
  if (second.at != at) second = {at, 0, 0};
  return second;
}

void RetryBudget::OnRequest(SteadyTime now) { ++Now(now).requests; }

bool RetryBudget::TryRetry(const mesh::RetryBudget& limits, SteadyTime now) {
  const std::int64_t at = SecondOf(now);
  std::uint64_t requests = 0;
  std::uint64_t retries = 0;
  for (const Second& second : seconds_) {
    if (at - second.at >= kSeconds) continue;
    requests += second.requests;
    retries += second.retries;
  }
  const std::uint64_t allowed =
      requests * static_cast<std::uint64_t>(limits.percent) / 100 +
      static_cast<std::uint64_t>(limits.min_per_second) * static_cast<std::uint64_t>(kSeconds);
  if (retries >= allowed) return false;
  ++Now(now).retries;
  return true;
}

}  // namespace signet::proxy
