#include "identity/api/rate_limiter.h"

#include <algorithm>

namespace signet::identity {
namespace {

constexpr std::size_t kMaxBuckets = 100'000;

}  // namespace

Status RateLimiter::Take(const Caller& caller, std::size_t units) {
  if (rate_ == 0 || caller.kind == CallerKind::kLocal) return {};
  const auto limit = static_cast<double>(rate_);
  const auto refused = [&] {
    return Fail(Code::kResourceExhausted, kRateExceeded,
                "at most " + std::to_string(rate_) + " a second from one address; try again later");
  };
  if (units > rate_) return refused();
  const auto now = clock_.SteadyNow();
  const auto filled = [&](const Bucket& bucket) {
    const std::chrono::duration<double> passed = now - bucket.filled;
    return std::min(limit, bucket.units + passed.count() * limit);
  };
  std::lock_guard lock(mutex_);
  if (buckets_.size() >= kMaxBuckets)
    std::erase_if(buckets_, [&](const auto& row) { return filled(row.second) >= limit; });
  if (buckets_.size() >= kMaxBuckets) return refused();
  auto [row, is_new] = buckets_.try_emplace(caller.remote.substr(0, caller.remote.rfind(':')));
  auto& bucket = row->second;
  bucket.units = is_new ? limit : filled(bucket);
  bucket.filled = now;
  const auto wanted = static_cast<double>(units);
  if (bucket.units < wanted) return refused();
  bucket.units -= wanted;
  return {};
}

}  // namespace signet::identity
