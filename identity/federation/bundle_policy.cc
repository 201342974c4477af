#include "identity/federation/bundle_policy.h"

#include <algorithm>

namespace signet::identity {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;

constexpr std::int64_t kDefaultHint = 300;
constexpr seconds kShortest{60};
constexpr seconds kLongest{24 * 3600};
constexpr double kSpread = 0.1;

}  // namespace

Status CheckReplaces(const Bundle* held, const Bundle& fetched) {
  const std::uint64_t had = held == nullptr ? 0 : held->sequence_number;
  if (fetched.x509_authorities.empty() && fetched.jwt_authorities.empty() &&
      (held == nullptr || fetched.sequence_number <= had)) {
    return Fail(Code::kFailedPrecondition, kBundleEmpty,
                "its sequence number does not say that it is meant; the one held stays");
  }
  if (fetched.sequence_number != 0 && fetched.sequence_number < had) {
    return Fail(
        Code::kFailedPrecondition, kBundleOlder,
        "sequence number " + std::to_string(fetched.sequence_number) + " after " +
            std::to_string(had) +
            "; if the other trust domain was restored from a backup, set its bundle by hand");
  }
  return {};
}

Duration NextPoll(const PollState& state, double jitter) {
  if (!state.has_bundle) return kShortest;
  const std::int64_t hint = state.refresh_hint > 0 ? state.refresh_hint : kDefaultHint;
  const Duration wait =
      std::clamp<Duration>(seconds(std::min(hint, kLongest.count())), kShortest, kLongest);
  const auto taken = duration_cast<Duration>(wait * (jitter * kSpread));
  return std::max<Duration>(wait - taken, kShortest);
}

}  // namespace signet::identity
