#include "agent/cache/cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace signet::agent {
namespace {

using EntryMap = std::map<std::string, EntryPtr, std::less<>>;

// Entries of `held` after `delta`; those that did not change keep their pointer.
std::shared_ptr<const EntrySet> MergeEntries(const EntrySet& held, Delta& delta) {
  if (!delta.full && delta.upserts.empty() && delta.removed_entries.empty()) return nullptr;
  EntryMap entries;
  if (!delta.full)
    for (const EntryPtr& entry : held.entries())
      entries.emplace_hint(entries.end(), entry->id, entry);
  for (const std::string& id : delta.removed_entries) entries.erase(id);
  for (AuthorizedEntry& entry : delta.upserts) {
    const auto position = held.Find(entry.id);
    const bool unchanged = position && held.entries()[*position]->IsSameVersionAs(entry);
    EntryPtr next = unchanged ? held.entries()[*position]
                              : std::make_shared<const AuthorizedEntry>(std::move(entry));
    entries.insert_or_assign(next->id, next);
  }
  std::vector<EntryPtr> list;
  list.reserve(entries.size());
  for (auto& [id, entry] : entries) list.push_back(std::move(entry));
  if (list == held.entries()) return nullptr;
  return EntrySet::Create(std::move(list));
}

// SVIDs at the positions of `next`, for the entries that still name the same SPIFFE ID.
std::vector<SvidPtr> CarryOver(const EntrySet& held, const std::vector<SvidPtr>& svids,
                               const EntrySet& next) {
  std::vector<SvidPtr> carried(next.size());
  std::size_t from = 0;
  for (std::size_t to = 0; to < next.size(); ++to) {
    while (from < held.size() && held.entries()[from]->id < next.entries()[to]->id) ++from;
    if (from == held.size()) break;
    if (held.entries()[from]->id != next.entries()[to]->id || !svids[from]) continue;
    if (svids[from]->id == next.entries()[to]->spiffe_id) carried[to] = svids[from];
  }
  return carried;
}

// Answers whether anything changed.
bool MergeBundles(std::map<identity::TrustDomain, BundlePtr>* held, Delta& delta,
                  const identity::TrustDomain& own) {
  bool changed = false;
  std::set<identity::TrustDomain> named;
  for (identity::Bundle& bundle : delta.bundles) {
    const identity::TrustDomain name = bundle.trust_domain;
    named.insert(name);
    BundlePtr& slot = (*held)[name];
    if (slot && slot->bundle == bundle) continue;
    slot = std::make_shared<const ServedBundle>(std::move(bundle));
    changed = true;
  }
  for (const identity::TrustDomain& name : delta.removed_bundles)
    if (name != own && held->erase(name) > 0) changed = true;
  if (delta.full) {
    const std::size_t before = held->size();
    std::erase_if(
        *held, [&](const auto& item) { return item.first != own && !named.contains(item.first); });
    changed |= held->size() != before;
  }
  return changed;
}

}  // namespace

Cache::Cache(identity::TrustDomain trust_domain) : trust_domain_(std::move(trust_domain)) {
  Erase();
}

SnapshotPtr Cache::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void Cache::Observe(std::function<void()> observer) { observers_.push_back(std::move(observer)); }

Result<SnapshotPtr> Cache::Apply(Delta delta) {
  std::unique_lock lock(mutex_);
  if (!delta.full && delta.revision <= current_->revision)
    return Fail(Code::kFailedPrecondition, kRevisionBackwards,
                fmt::format("received {}, held {}", delta.revision, current_->revision));
  auto next = std::make_shared<Snapshot>(*current_);
  const bool revised = !next->synced || next->revision != delta.revision;
  next->synced = true;
  next->revision = delta.revision;
  bool changed = MergeBundles(&next->bundles, delta, trust_domain_);
  if (auto entries = MergeEntries(*current_->entries, delta)) {
    next->svids = CarryOver(*current_->entries, current_->svids, *entries);
    next->entries = std::move(entries);
    changed = true;
  }
  if (!changed && !revised) return current_;
  SnapshotPtr answer = next;
  Publish(std::move(next), std::move(lock));
  return answer;
}

void Cache::Install(std::vector<std::pair<std::string, SvidPtr>> svids) {
  std::unique_lock lock(mutex_);
  auto next = std::make_shared<Snapshot>(*current_);
  bool changed = false;
  for (auto& [id, svid] : svids) {
    const auto position = next->entries->Find(id);
    if (!position || next->entries->entries()[*position]->spiffe_id != svid->id) continue;
    next->svids[*position] = std::move(svid);
    changed = true;
  }
  if (changed) Publish(std::move(next), std::move(lock));
}

std::size_t Cache::DropExpired(WallTime now) {
  std::unique_lock lock(mutex_);
  const auto expired = [&](const SvidPtr& svid) { return svid && svid->not_after() <= now; };
  const auto count = std::count_if(current_->svids.begin(), current_->svids.end(), expired);
  if (count == 0) return 0;
  auto next = std::make_shared<Snapshot>(*current_);
  for (SvidPtr& svid : next->svids)
    if (expired(svid)) svid = nullptr;
  Publish(std::move(next), std::move(lock));
  return static_cast<std::size_t>(count);
}

void Cache::Restore(Delta delta, std::vector<std::pair<std::string, SvidPtr>> svids) {
  delta.full = true;
  if (Apply(std::move(delta))) Install(std::move(svids));
}

void Cache::Erase() {
  std::unique_lock lock(mutex_);
  auto empty = std::make_shared<Snapshot>();
  empty->trust_domain = trust_domain_;
  Publish(std::move(empty), std::move(lock));
}

void Cache::Publish(std::shared_ptr<Snapshot> next, std::unique_lock<std::mutex> lock) {
  // The last reference to the old snapshot may go here: let that be outside the lock.
  SnapshotPtr old = std::exchange(current_, std::move(next));
  lock.unlock();
  for (const auto& observer : observers_) observer();
}

}  // namespace signet::agent
