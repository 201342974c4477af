#include "agent/cache/cache.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <unordered_set>

namespace signet::agent {
namespace {

// What `delta` changes in `held`; entries of the same version are left as they are.
std::vector<EntrySet::Change> ChangesOf(const EntrySet& held, Delta& delta) {
  std::vector<EntrySet::Change> changes;
  for (std::string& id : delta.removed_entries)
    if (held.Find(id) != nullptr) changes.push_back({std::move(id), nullptr});
  std::unordered_set<std::string_view> named;
  for (AuthorizedEntry& entry : delta.upserts) {
    const HeldEntry* before = held.Find(entry.id);
    if (before != nullptr && before->entry->IsSameVersionAs(entry)) {
      if (delta.full) named.insert(before->entry->id);
      continue;
    }
    auto next = std::make_shared<const AuthorizedEntry>(std::move(entry));
    if (delta.full) named.insert(next->id);
    changes.push_back({next->id, std::move(next)});
  }
  if (delta.full)
    held.ForEach([&](const HeldEntry& before) {
      if (!named.contains(before.entry->id)) changes.push_back({before.entry->id, nullptr});
    });
  return changes;
}

// Answers whether anything changed.
bool MergeBundles(std::map<identity::TrustDomain, BundlePtr>* held, Delta& delta,
                  const identity::TrustDomain& own) {
  bool changed = false;
  std::set<identity::TrustDomain> named;
  for (identity::Bundle& bundle : delta.bundles) {
    const identity::TrustDomain name = bundle.trust_domain;
    named.insert(name);
    if (name == own && bundle.x509_authorities.empty()) continue;
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
  if (const auto changes = ChangesOf(current_->entries, delta); !changes.empty()) {
    next->entries = current_->entries.WithEntries(changes);
    changed = true;
  }
  if (!changed && !revised) return current_;
  SnapshotPtr answer = next;
  Publish(std::move(next), std::move(lock));
  return answer;
}

template <class MakeList>
void Cache::ChangeSvids(MakeList make_list) {
  std::unique_lock lock(mutex_);
  EntrySet entries = current_->entries.WithSvids(make_list());
  if (entries.SharesAllWith(current_->entries)) return;
  auto next = std::make_shared<Snapshot>(*current_);
  next->entries = std::move(entries);
  Publish(std::move(next), std::move(lock));
}

void Cache::Install(const SvidList& svids) {
  ChangeSvids([&]() -> const SvidList& { return svids; });
}

void Cache::Drop(const std::vector<std::string>& ids) {
  ChangeSvids([&] {
    SvidList dropped;
    for (const std::string& id : ids) dropped.emplace_back(id, nullptr);
    return dropped;
  });
}

void Cache::DropExpired(const std::vector<std::string>& ids, WallTime now) {
  ChangeSvids([&] {
    SvidList dropped;
    for (const std::string& id : ids) {
      const HeldEntry* held = current_->entries.Find(id);
      if (held != nullptr && held->svid && held->svid->not_after <= now)
        dropped.emplace_back(id, nullptr);
    }
    return dropped;
  });
}

std::size_t Cache::SetDenials(identity::DenialSetPtr denials, std::uint64_t revision,
                              WallTime now) {
  std::unique_lock lock(mutex_);
  auto next = std::make_shared<Snapshot>(*current_);
  next->denials = std::move(denials);
  next->denials_revision = revision;
  SvidList dropped;
  if (!next->denials->empty())
    next->entries.ForEach([&](const HeldEntry& held) {
      if (held.svid && next->IsDenied(*held.svid, now))
        dropped.emplace_back(held.entry->id, nullptr);
    });
  next->entries = next->entries.WithSvids(dropped);
  Publish(std::move(next), std::move(lock));
  return dropped.size();
}

void Cache::Restore(Delta delta, const SvidList& svids) {
  delta.full = true;
  if (Apply(std::move(delta))) Install(svids);
}

void Cache::Erase() {
  std::unique_lock lock(mutex_);
  auto empty = std::make_shared<Snapshot>();
  empty->trust_domain = trust_domain_;
  if (current_) {  // not what was granted: what must not be
    empty->denials = current_->denials;
    empty->denials_revision = current_->denials_revision;
  }
  Publish(std::move(empty), std::move(lock));
}

void Cache::Publish(std::shared_ptr<Snapshot> next, std::unique_lock<std::mutex> lock) {
  // The last reference to the old snapshot may go here: let that be outside the lock.
  SnapshotPtr old = std::exchange(current_, std::move(next));
  lock.unlock();
  for (const auto& observer : observers_) observer();
}

}  // namespace signet::agent
