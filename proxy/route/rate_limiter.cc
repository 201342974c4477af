#include "proxy/route/rate_limiter.h"

#include <algorithm>

namespace signet::proxy {

std::optional<Duration> RateLimiter::Ask(const mesh::RateLimit& limit, FullAt full_at,
                                         SteadyTime now) {
  const Duration each = limit.per / limit.requests;
  const Duration behind = std::max(full_at, now) - now;
  const Duration allowed = each * (limit.burst - 1);
  if (behind <= allowed) return std::nullopt;
  return behind - allowed;
}

RateLimiter::FullAt RateLimiter::Taken(const mesh::RateLimit& limit, FullAt full_at,
                                       SteadyTime now) {
  return std::max(full_at, now) + limit.per / limit.requests;
}

RateLimiter::Caller& RateLimiter::Find(const std::string& name) {
  if (const auto known = places_.find(name); known != places_.end()) {
    callers_.splice(callers_.begin(), callers_, known->second);
    return callers_.front();
  }
  // The one that was not heard of for longest starts anew when it comes again.
  if (callers_.size() >= max_callers_) {
    places_.erase(callers_.back().name);
    callers_.pop_back();
  }
  callers_.push_front({name, {}});
  places_[name] = callers_.begin();
  return callers_.front();
}

std::optional<Duration> RateLimiter::Take(const std::string& caller, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  Caller* own = limits_.per_identity ? &Find(caller) : nullptr;
  if (own != nullptr)
    if (const auto wait = Ask(*limits_.per_identity, own->full_at, now)) return wait;
  if (limits_.total)
    if (const auto wait = Ask(*limits_.total, total_full_at_, now)) return wait;
  if (own != nullptr) own->full_at = Taken(*limits_.per_identity, own->full_at, now);
  if (limits_.total) total_full_at_ = Taken(*limits_.total, total_full_at_, now);
  return std::nullopt;
}

}  // namespace signet::proxy
