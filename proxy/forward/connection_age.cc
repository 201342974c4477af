#include "proxy/forward/connection_age.h"

#include <algorithm>

namespace signet::proxy {
namespace {

constexpr double kLeastPart = 0.1;   // of max_connection_age: a handshake must pay
constexpr double kFirstPart = 0.90;  // of what is left of the SVID's life
constexpr double kLastPart = 0.95;

Duration Part(Duration whole, double first, double last, double share) {
  return std::chrono::duration_cast<Duration>(whole * (first + (last - first) * share));
}

}  // namespace

ConnectionAge::ConnectionAge(const Moment& begun, std::optional<WallTime> svid_end,
                             std::uint64_t draw)
    : begun_(begun.steady), share_(static_cast<double>(draw >> 11) * 0x1p-53) {
  if (svid_end)
    retires_at_ = begun.wall + Part(std::max<Duration>(*svid_end - begun.wall, Duration(0)),
                                    kFirstPart, kLastPart, share_);
}

SteadyTime ConnectionAge::OldAt(Duration max) const {
  return begun_ + Part(max, kLeastPart, 1, share_);
}

ConnectionAge::Due ConnectionAge::At(const AgeTerms& terms, const Moment& now) const {
  const bool old = IsOld(terms, now.steady);
  if (!terms.retires) return old ? Due::kCut : Due::kNothing;
  if (!retired_at_)
    return old || (retires_at_ && now.wall >= *retires_at_) ? Due::kRetire : Due::kNothing;
  return old && now.steady - *retired_at_ >= terms.grace ? Due::kCut : Due::kNothing;
}

Duration ConnectionAge::Next(const AgeTerms& terms, const Moment& now) const {
  Duration next = Duration::max();
  if (terms.max > Duration(0)) {
    SteadyTime at = OldAt(terms.max);
    if (terms.retires && retired_at_) at = std::max(at, *retired_at_ + terms.grace);
    next = at - now.steady;
  }
  if (terms.retires && !retired_at_ && retires_at_)
    next = std::min<Duration>(next, *retires_at_ - now.wall);
  return next;
}

}  // namespace signet::proxy
