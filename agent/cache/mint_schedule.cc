#include "agent/cache/mint_schedule.h"

#include <algorithm>
#include <tuple>

namespace signet::agent {

void MintSchedule::Update(const Snapshot& snapshot) {
  if (snapshot.entries == known_) return;
  known_ = snapshot.entries;
  std::erase_if(slots_, [&](const auto& item) { return !known_->Find(item.first); });
  for (std::size_t position = 0; position < known_->size(); ++position) {
    const EntryPtr& entry = known_->entries()[position];
    if (entry->store_svid) {
      slots_.erase(entry->id);
      continue;
    }
    const auto [found, added] = slots_.try_emplace(entry->id);
    Slot& slot = found->second;
    if (!added && slot.entry == entry) continue;
    slot.entry = entry;
    slot.failures = 0;
    slot.retry_at = {};
    const SvidPtr& svid = snapshot.svids[position];
    if (added && svid) TakeOn(&slot, *svid);
    slot.stale = slot.has_svid && !(svid && svid->IsFor(*entry));
  }
}

void MintSchedule::TakeOn(Slot* slot, const IssuedSvid& svid) {
  slot->has_svid = true;
  slot->not_after = svid.not_after();
  slot->renew_at = DrawRenewalTime(svid.not_before(), svid.not_after(), random_);
  slot->authority_key_id = svid.chain.back().authority_key_id();
}

void MintSchedule::Want(const std::vector<std::string>& ids) {
  for (const std::string& id : ids)
    if (const auto found = slots_.find(id); found != slots_.end()) found->second.wanted = true;
}

void MintSchedule::Distrust(const std::set<Bytes>& tainted, const std::set<Bytes>& trusted) {
  for (auto& [id, slot] : slots_) {
    if (!slot.has_svid || slot.authority_key_id.empty()) continue;
    if (tainted.contains(slot.authority_key_id) || !trusted.contains(slot.authority_key_id))
      slot.stale = true;
  }
}

bool MintSchedule::IsNeeded(const Slot& slot) const {
  return slot.has_svid || slot.wanted || !slot.entry->disable_x509_svid_prefetch;
}

bool MintSchedule::IsDue(const Slot& slot, WallTime now, SteadyTime steady) const {
  if (slot.in_flight || !IsNeeded(slot) || slot.entry->HasExpired(now)) return false;
  if (slot.retry_at > steady) return false;
  return !slot.has_svid || slot.stale || slot.renew_at <= now;
}

std::vector<EntryPtr> MintSchedule::TakeDue(std::size_t limit) {
  const WallTime now = clock_.Now();
  const SteadyTime steady = clock_.SteadyNow();
  std::vector<Slot*> due;
  for (auto& [id, slot] : slots_)
    if (IsDue(slot, now, steady)) due.push_back(&slot);
  const auto urgency = [](const Slot* slot) {
    return std::tuple(!slot->wanted, slot->has_svid, slot->has_svid ? slot->not_after : WallTime{});
  };
  std::sort(due.begin(), due.end(),
            [&](const Slot* a, const Slot* b) { return urgency(a) < urgency(b); });
  if (due.size() > limit) due.resize(limit);
  std::vector<EntryPtr> taken;
  taken.reserve(due.size());
  for (Slot* slot : due) {
    slot->in_flight = true;
    taken.push_back(slot->entry);
  }
  return taken;
}

void MintSchedule::Succeeded(const AuthorizedEntry& entry, const IssuedSvid& svid) {
  const auto found = slots_.find(entry.id);
  if (found == slots_.end()) return;
  Slot& slot = found->second;
  slot.in_flight = false;
  slot.failures = 0;
  slot.retry_at = {};
  TakeOn(&slot, svid);
  slot.renew_at = DrawRenewalOfNew(svid.not_before(), svid.not_after(), clock_.Now(), random_);
  slot.stale = !slot.entry->IsSameVersionAs(entry);
  if (!slot.stale) slot.wanted = false;
}

void MintSchedule::Failed(const std::string& id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return;
  Slot& slot = found->second;
  slot.in_flight = false;
  slot.retry_at = clock_.SteadyNow() + DrawBackoff(slot.failures, backoff_, random_);
  ++slot.failures;
}

void MintSchedule::ForgiveFailures() {
  for (auto& [id, slot] : slots_) {
    slot.failures = 0;
    slot.retry_at = {};
  }
}

std::optional<Duration> MintSchedule::UntilNextDue() const {
  const WallTime now = clock_.Now();
  const SteadyTime steady = clock_.SteadyNow();
  std::optional<Duration> soonest;
  for (const auto& [id, slot] : slots_) {
    if (slot.in_flight || !IsNeeded(slot) || slot.entry->HasExpired(now)) continue;
    Duration wait = std::max<Duration>(Duration::zero(), slot.retry_at - steady);
    if (slot.has_svid && !slot.stale) wait = std::max<Duration>(wait, slot.renew_at - now);
    if (!soonest || wait < *soonest) soonest = wait;
  }
  return soonest;
}

}  // namespace signet::agent
