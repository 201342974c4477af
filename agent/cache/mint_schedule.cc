#include "agent/cache/mint_schedule.h"

#include <algorithm>
#include <utility>

namespace signet::agent {
namespace {

// How soon to look again whether there is room for an SVID that is waited for.
constexpr Duration kRoomRetry = std::chrono::seconds(5);

}  // namespace

void MintSchedule::Leave(Slot* slot) {
  switch (slot->place) {
    case Place::kNowhere:
      break;
    case Place::kReady:
      ready_.erase(KeyOf(*slot));
      break;
    case Place::kUntilWall:
      until_wall_.erase({slot->renew_at, slot});
      break;
    case Place::kUntilSteady:
      until_steady_.erase({slot->retry_at, slot});
      break;
    case Place::kParked:
      parked_.erase(slot);
      break;
  }
  if (slot->issuers) ends_.erase({slot->not_after, slot});
  if (slot->Occupies()) --held_;
  if (slot->refused) --refused_now_;
  slot->place = Place::kNowhere;
}

void MintSchedule::Enter(Slot* slot) {
  if (slot->issuers) ends_.emplace(slot->not_after, slot);
  if (slot->Occupies()) ++held_;
  if (slot->refused) ++refused_now_;
  const bool needed = slot->issuers || slot->wanted || !slot->entry->disable_x509_svid_prefetch;
  if (slot->in_flight || !needed || slot->entry->HasExpired(clock_.Now())) return;
  if (slot->retry_at > clock_.SteadyNow()) {
    slot->place = Place::kUntilSteady;
    until_steady_.emplace(slot->retry_at, slot);
  } else if (slot->issuers && !slot->stale && slot->renew_at > clock_.Now()) {
    slot->place = Place::kUntilWall;
    until_wall_.emplace(slot->renew_at, slot);
  } else {
    slot->place = Place::kReady;
    slot->urgency = slot->wanted    ? Urgency::kWaiting
                    : slot->issuers ? Urgency::kRenewal
                                    : Urgency::kWarmUp;
    ready_.emplace(KeyOf(*slot), slot);
  }
}

template <class Action>
void MintSchedule::Change(Slot* slot, Action action) {
  Leave(slot);
  action();
  Enter(slot);
}

void MintSchedule::Forget(Slot* slot) {
  slot->issuers = nullptr;
  slot->stale = false;
}

void MintSchedule::Update(const Snapshot& snapshot) {
  EntrySet::Diff(known_, snapshot.entries, [&](const HeldEntry* before, const HeldEntry* after) {
    OnDifference(before, after);
  });
  known_ = snapshot.entries;
  Unpark();
}

void MintSchedule::OnDifference(const HeldEntry* before, const HeldEntry* after) {
  if (after == nullptr || after->entry->store_svid) {
    const auto gone = slots_.find(before != nullptr ? before->entry->id : after->entry->id);
    if (gone == slots_.end()) return;
    Leave(&gone->second);
    slots_.erase(gone);
    return;
  }
  const auto [found, added] = slots_.try_emplace(after->entry->id);
  Slot* const slot = &found->second;
  const SvidPtr& svid = after->svid;
  if (added) {
    slot->entry = after->entry;
    if (svid) TakeOn(slot, *svid);
    slot->stale = svid && !svid->IsFor(*slot->entry);
    return Enter(slot);
  }
  Change(slot, [&] {
    if (!svid && !slot->in_flight) Forget(slot);
    if (slot->entry == after->entry) return;
    slot->entry = after->entry;
    slot->failures = 0;
    slot->retry_at = {};
    slot->stale = slot->issuers && !(svid && svid->IsFor(*slot->entry));
  });
}

void MintSchedule::TakeOn(Slot* slot, const IssuedSvid& svid) {
  slot->issuers = svid.issuers;
  slot->lost = false;
  slot->not_after = svid.not_after;
  slot->renew_at = RenewalTime(svid.not_before, svid.not_after, svid.fingerprint);
}

void MintSchedule::Want(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    const auto found = slots_.find(id);
    if (found == slots_.end() || found->second.wanted) continue;
    Change(&found->second, [&] { found->second.wanted = true; });
  }
}

void MintSchedule::Distrust(const std::set<Bytes>& tainted, const std::set<Bytes>& trusted) {
  for (auto& [id, slot] : slots_) {
    if (!slot.issuers || slot.stale || slot.issuers->authority_key_id.empty()) continue;
    const Bytes& signer = slot.issuers->authority_key_id;
    if (tainted.contains(signer) || !trusted.contains(signer))
      Change(&slot, [&] { slot.stale = true; });
  }
}

void MintSchedule::Promote() {
  while (!until_wall_.empty() && until_wall_.begin()->first <= clock_.Now())
    Change(until_wall_.begin()->second, [] {});
  while (!until_steady_.empty() && until_steady_.begin()->first <= clock_.SteadyNow())
    Change(until_steady_.begin()->second, [] {});
}

// What was parked is tried again as soon as there is room for some of it.
void MintSchedule::Unpark() {
  for (std::size_t room = options_.most_svids - std::min(options_.most_svids, held_);
       room > 0 && !parked_.empty(); --room)
    Change(*parked_.begin(), [] {});
}

std::vector<MintSchedule::Slot*> MintSchedule::Unused() {
  const auto in_use = in_use_ ? in_use_(known_) : std::unordered_set<std::string>();
  std::vector<Slot*> unused;
  for (auto& [id, slot] : slots_)
    if (slot.issuers && !slot.in_flight && !slot.wanted && !in_use.contains(id))
      unused.push_back(&slot);
  return unused;
}

bool MintSchedule::MakeRoom(const Slot& slot, std::optional<std::vector<Slot*>>* unused) {
  if (slot.issuers || held_ < options_.most_svids) return true;
  if (!slot.wanted) return false;
  if (!*unused) *unused = Unused();
  if ((*unused)->empty()) return false;
  Slot* const given_up = (*unused)->back();
  (*unused)->pop_back();
  given_up_.push_back(given_up->entry->id);
  Change(given_up, [&] { Forget(given_up); });
  return true;
}

std::vector<EntryPtr> MintSchedule::TakeDue(std::size_t limit, Lane lane) {
  Promote();
  std::vector<EntryPtr> taken;
  std::optional<std::vector<Slot*>> unused;  // looked for once, and only when there is no room
  while (taken.size() < limit && !ready_.empty()) {
    Slot* const slot = ready_.begin()->second;
    if (lane == Lane::kWaiting && slot->urgency != Urgency::kWaiting) break;
    if (slot->entry->HasExpired(clock_.Now())) {
      Change(slot, [] {});  // Enter() leaves it out
    } else if (MakeRoom(*slot, &unused)) {
      Change(slot, [&] {
        slot->in_flight = true;
        slot->refused = false;
      });
      taken.push_back(slot->entry);
    } else if (slot->wanted) {
      ++refused_;
      Change(slot, [&] {
        slot->refused = true;
        slot->retry_at = clock_.SteadyNow() + kRoomRetry;
      });
    } else {
      Leave(slot);
      slot->place = Place::kParked;
      parked_.insert(slot);
    }
  }
  return taken;
}

void MintSchedule::Succeeded(const AuthorizedEntry& entry, const IssuedSvid& svid) {
  const auto found = slots_.find(entry.id);
  if (found == slots_.end()) return;
  Slot* const slot = &found->second;
  Change(slot, [&] {
    slot->in_flight = false;
    slot->failures = 0;
    slot->retry_at = {};
    TakeOn(slot, svid);
    slot->renew_at = RenewalOfNew(svid.not_before, svid.not_after, clock_.Now(), svid.fingerprint);
    slot->stale = !slot->entry->IsSameVersionAs(entry);
    if (!slot->stale) slot->wanted = false;
  });
}

void MintSchedule::Failed(const std::string& id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return;
  Slot* const slot = &found->second;
  Change(slot, [&] {
    slot->in_flight = false;
    slot->retry_at = clock_.SteadyNow() + DrawBackoff(slot->failures, options_.backoff, random_);
    ++slot->failures;
  });
  Unpark();
}

void MintSchedule::ForgiveFailures() {
  while (!until_steady_.empty()) {
    Slot* const slot = until_steady_.begin()->second;
    Change(slot, [&] {
      slot->failures = 0;
      slot->retry_at = {};
    });
  }
}

std::vector<std::string> MintSchedule::TakeExpired() {
  std::vector<std::string> ids;
  while (!ends_.empty() && ends_.begin()->first <= clock_.Now()) {
    Slot* const slot = ends_.begin()->second;
    ids.push_back(slot->entry->id);
    Change(slot, [&] {
      Forget(slot);
      slot->lost = true;
    });
  }
  Unpark();
  return ids;
}

SvidState MintSchedule::StateOf(const Slot& slot, WallTime now) const {
  if (slot.issuers) {
    const bool late = now >= slot.renew_at + (slot.not_after - slot.renew_at) / 2;
    return late && !slot.entry->HasExpired(now) ? SvidState::kLate : SvidState::kFresh;
  }
  const bool needed = slot.wanted || slot.in_flight || !slot.entry->disable_x509_svid_prefetch;
  // An expired entry is granted to nobody any more.
  if (!needed || slot.entry->HasExpired(now)) return SvidState::kOnDemand;
  if (slot.lost) return SvidState::kLost;
  const bool turned_away = slot.refused || slot.place == Place::kParked;
  return turned_away ? SvidState::kWithoutRoom : SvidState::kMissing;
}

SvidCounts MintSchedule::Count() const {
  SvidCounts counts;
  const WallTime now = clock_.Now();
  for (const auto& [id, slot] : slots_) {
    switch (StateOf(slot, now)) {
      case SvidState::kOnDemand:
        ++counts.on_demand;
        break;
      case SvidState::kFresh:
        ++counts.fresh;
        break;
      case SvidState::kLate:
        ++counts.late;
        break;
      case SvidState::kLost:
        ++counts.lost;
        break;
      case SvidState::kMissing:
        ++counts.missing;
        if (slot.failures > 0) ++counts.refused;
        break;
      case SvidState::kWithoutRoom:
        ++counts.without_room;
        break;
    }
  }
  if (!ends_.empty()) counts.soonest_end = ends_.begin()->first;
  return counts;
}

std::vector<SvidStanding> MintSchedule::Standings(std::size_t limit) const {
  std::vector<SvidStanding> standings;
  const WallTime now = clock_.Now();
  const auto add = [&](const Slot& slot) {
    SvidStanding standing{slot.entry->id, slot.entry->spiffe_id, StateOf(slot, now), {}, {},
                          slot.failures};
    if (slot.issuers) {
      standing.not_after = slot.not_after;
      standing.renew_at = slot.renew_at;
    }
    standings.push_back(std::move(standing));
  };
  for (const auto& [id, slot] : slots_) {
    if (standings.size() >= limit) return standings;
    if (!slot.issuers && StateOf(slot, now) != SvidState::kOnDemand) add(slot);
  }
  for (auto end = ends_.begin(); end != ends_.end() && standings.size() < limit; ++end)
    add(*end->second);
  return standings;
}

std::vector<std::string> MintSchedule::TakeGivenUp() { return std::exchange(given_up_, {}); }

std::optional<Duration> MintSchedule::UntilNextDue(Lane lane) const {
  const bool any = lane == Lane::kAny;
  if (!ready_.empty() && (any || ready_.begin()->first.urgency == Urgency::kWaiting))
    return Duration::zero();
  std::optional<Duration> soonest;
  const auto consider = [&](Duration wait) {
    wait = std::max(wait, Duration::zero());
    if (!soonest || wait < *soonest) soonest = wait;
  };
  if (!until_steady_.empty()) consider(until_steady_.begin()->first - clock_.SteadyNow());
  if (any && !until_wall_.empty()) consider(until_wall_.begin()->first - clock_.Now());
  if (any && !ends_.empty()) consider(ends_.begin()->first - clock_.Now());
  return soonest;
}

}  // namespace signet::agent
