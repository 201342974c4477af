#include "identity/api/call_gate.h"

#include <algorithm>

namespace signet::identity {
namespace {

constexpr double kBytesPerUnit = 64 * 1024;
// Refusals a second, and at once, that cost no more than the refusal.
constexpr double kPatience = 32;
// Calls of one caller, from its first, that need not take turns.
constexpr double kAtOnceCalls = 64;
constexpr auto kLongestHold = std::chrono::seconds(1);
constexpr auto kShortestHold = std::chrono::milliseconds(100);
constexpr auto kForgetRefusals = std::chrono::minutes(1);
constexpr unsigned kMostDoublings = 16;

// Where an identity stands behind the call.
bool IsCounted(const Caller& caller) { return caller.kind == CallerKind::kCertificate; }

}  // namespace

CallGate::Row CallGate::MakeRow(SteadyTime now) const {
  return {.units = {settings_.calls_per_second, settings_.burst, now},
          .renewals = {settings_.renewals_per_second, settings_.renewal_burst, now},
          .patience = {kPatience, kPatience, now}};
}

bool CallGate::Row::IsIdle(SteadyTime now) const {
  return units.IsIdle(now) && renewals.IsIdle(now) && now - last_refusal > kForgetRefusals;
}

CallGate::Entry CallGate::Admit(const Caller& caller) {
  if (!IsCounted(caller) || settings_.calls_per_second == 0) return Entry::kAtOnce;
  const auto now = clock_.SteadyNow();
  const std::lock_guard lock(mutex_);
  Row* const row = rows_.Find(caller.Account(), now);
  if (row == nullptr || !row->units.Take(1, now)) return Entry::kRefused;
  return row->units.At(now) < settings_.burst - kAtOnceCalls ? Entry::kInTurn : Entry::kAtOnce;
}

void CallGate::Charge(const Caller& caller, std::size_t answer_bytes) {
  const double units = static_cast<double>(answer_bytes) / kBytesPerUnit;
  if (!IsCounted(caller) || settings_.calls_per_second == 0 || units < 1) return;
  const auto now = clock_.SteadyNow();
  const std::lock_guard lock(mutex_);
  if (Row* const row = rows_.Find(caller.Account(), now)) row->units.Charge(units, now);
}

bool CallGate::TakeRenewal(const Caller& caller) {
  if (!IsCounted(caller)) return false;
  const auto now = clock_.SteadyNow();
  const std::lock_guard lock(mutex_);
  Row* const row = rows_.Find(caller.Account(), now);
  return row != nullptr && row->renewals.Take(1, now);
}

CallGate::Refusal CallGate::Refuse(const Caller& caller) {
  const auto now = clock_.SteadyNow();
  const auto bound = [&](unsigned refusals) {
    const auto doubled = settings_.first_pause * (1LL << std::min(refusals, kMostDoublings));
    return std::min<std::chrono::milliseconds>(doubled, settings_.longest_pause);
  };
  unsigned refusals = 0;
  bool hold = false;
  {
    const std::lock_guard lock(mutex_);
    if (Row* const row = rows_.Find(caller.Account(), now)) {
      const bool again = now - row->last_refusal <= bound(row->refusals);
      row->refusals = again ? std::min(row->refusals + 1, kMostDoublings) : 0;
      row->last_refusal = now;
      refusals = row->refusals;
      hold = IsCounted(caller) && !row->patience.Take(1, now);
    }
  }
  const auto most = static_cast<std::uint64_t>(bound(refusals).count());
  Refusal refusal{.retry_after = std::chrono::milliseconds(random_.Below(most + 1)),
                  .hold_until = std::nullopt};
  if (hold)
    refusal.hold_until =
        now + std::clamp<Duration>(refusal.retry_after, kShortestHold, kLongestHold);
  return refusal;
}

}  // namespace signet::identity
