#include "identity/server/authority_health.h"

#include <fmt/format.h>

#include <algorithm>

namespace signet::identity {
namespace {

using ca::AuthorityState;
using SlotStatus = AuthorityKeeper::SlotStatus;

// Of clocks that are set a little back now and then; leaves are backdated as much.
constexpr Duration kSkew = std::chrono::seconds(10);

// The one of this state that ends last; null when there is none.
const SlotStatus* Find(std::string_view type, const std::vector<SlotStatus>& slots,
                       AuthorityState state) {
  const SlotStatus* found = nullptr;
  for (const SlotStatus& status : slots) {
    if (status.type != type || status.slot.state != state) continue;
    if (found == nullptr || status.slot.not_after > found->slot.not_after) found = &status;
  }
  return found;
}

std::string WhyNotReplaced(const SlotStatus* prepared, WallTime now) {
  if (prepared == nullptr || prepared->slot.not_after <= now)
    return "no successor could be prepared: the log says why";
  const Acknowledgement& held = prepared->acknowledgement;
  if (held.all)
    return "its successor is prepared and could not be taken into use: the log says why";
  std::string text = fmt::format("its successor waits for {} of {} agents",
                                 held.live - std::min(held.live, held.acknowledged), held.live);
  if (!held.waiting_for.empty()) text += ", first " + held.waiting_for.front();
  return text;
}

}  // namespace

std::vector<std::string> AuthorityProblems(std::string_view type,
                                           const std::vector<SlotStatus>& slots, WallTime now) {
  const SlotStatus* const active = Find(type, slots, AuthorityState::kActive);
  if (active == nullptr) return {fmt::format("no {} authority is in use", type)};
  const ca::AuthoritySlot& slot = active->slot;
  const std::string why = WhyNotReplaced(Find(type, slots, AuthorityState::kPrepared), now);
  std::vector<std::string> problems;
  if (now >= slot.not_after) {
    problems.push_back(
        fmt::format("the {} authority ended {}; {}", type, FormatTime(slot.not_after), why));
  } else if (slot.not_after - now < ca::ActivateThreshold(slot) / 2) {
    problems.push_back(
        fmt::format("the {} authority ends {}; {}", type, FormatTime(slot.not_after), why));
  }
  if (now + kSkew < slot.issued_at) {
    problems.push_back(fmt::format(
        "the clock says {}, and the {} authority was made {}: set the clock right; until then "
        "nobody accepts what it signs",
        FormatTime(now), type, FormatTime(slot.issued_at)));
  }
  return problems;
}

}  // namespace signet::identity
