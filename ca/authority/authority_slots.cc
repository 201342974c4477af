#include "ca/authority/authority_slots.h"

#include <algorithm>

namespace signet::ca {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

constexpr Duration kLongestPrepare = days(30);
constexpr Duration kLongestActivate = days(7);
constexpr Duration kLongestPruneMargin = hours(24);
// What is left of an authority when it can no longer sign an SVID worth having: five minutes, or a
// twelfth of a short life.
constexpr Duration kLongestLastMoment = minutes(5);

Duration Lifetime(const AuthoritySlot& slot) { return slot.not_after - slot.issued_at; }
Duration Remaining(const AuthoritySlot& slot, WallTime now) { return slot.not_after - now; }

bool IsPastLastMoment(const AuthoritySlot& active, WallTime now) {
  return Remaining(active, now) < std::min(Lifetime(active) / 12, kLongestLastMoment);
}

// The one of this state that ends last; null when there is none that still may sign.
const AuthoritySlot* FindUsable(const std::vector<AuthoritySlot>& slots, AuthorityState state,
                                WallTime now) {
  const AuthoritySlot* found = nullptr;
  for (const AuthoritySlot& slot : slots) {
    if (slot.state != state || slot.not_after <= now) continue;
    // A tainted one is never taken into use; one in use stays until another takes over.
    if (state == AuthorityState::kPrepared && slot.tainted) continue;
    if (found == nullptr || slot.not_after > found->not_after) found = &slot;
  }
  return found;
}

SlotDecision::Step DecideStep(const std::vector<AuthoritySlot>& slots, WallTime now,
                              bool acknowledged) {
  using Step = SlotDecision::Step;
  const AuthoritySlot* const active = FindUsable(slots, AuthorityState::kActive, now);
  const AuthoritySlot* const prepared = FindUsable(slots, AuthorityState::kPrepared, now);
  if (active == nullptr) return prepared == nullptr ? Step::kPrepareAndActivate : Step::kActivate;
  if (prepared == nullptr) return ShouldPrepare(*active, now) ? Step::kPrepare : Step::kNothing;
  if (!ShouldActivate(*active, now)) return Step::kNothing;
  if (acknowledged || IsPastLastMoment(*active, now)) return Step::kActivate;
  return Step::kWaitForVerifiers;
}

}  // namespace

std::string_view AuthorityStateName(AuthorityState state) {
  switch (state) {
    case AuthorityState::kPrepared:
      return "prepared";
    case AuthorityState::kActive:
      return "active";
    case AuthorityState::kOld:
      return "old";
  }
  return "unknown";
}

Duration PrepareThreshold(const AuthoritySlot& active) {
  return std::min(Lifetime(active) / 2, kLongestPrepare);
}
Duration ActivateThreshold(const AuthoritySlot& active) { return MaxUncutTtl(Lifetime(active)); }
bool ShouldPrepare(const AuthoritySlot& active, WallTime now) {
  return Remaining(active, now) < PrepareThreshold(active);
}
bool ShouldActivate(const AuthoritySlot& active, WallTime now) {
  return Remaining(active, now) < ActivateThreshold(active);
}

SlotDecision DecideSlots(const std::vector<AuthoritySlot>& slots, WallTime now, bool acknowledged) {
  SlotDecision decision;
  decision.step = DecideStep(slots, now, acknowledged);
  for (const AuthoritySlot& slot : slots) {
    const Duration margin = std::min(Lifetime(slot), kLongestPruneMargin);
    if (slot.state != AuthorityState::kActive && now - slot.not_after >= margin)
      decision.prune.push_back(slot.id);
  }
  return decision;
}

Duration MaxUncutTtl(Duration authority_lifetime) {
  return std::min(authority_lifetime / 6, kLongestActivate);
}

}  // namespace signet::ca
