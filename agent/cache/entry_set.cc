#include "agent/cache/entry_set.h"

#include <algorithm>
#include <functional>
#include <map>

namespace signet::agent {
namespace {

void AppendBigEndian(Bytes* out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out->push_back(static_cast<std::uint8_t>((value >> shift) & 0xff));
}

// The bits of a hash, spread over all of the number (the finalizer of SplitMix64).
std::uint64_t Spread(std::uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;
  return bits ^ (bits >> 31);
}

SvidPtr KeptSvid(const HeldEntry* before, const AuthorizedEntry& entry) {
  const bool stays = before != nullptr && before->svid && before->svid->id == entry.spiffe_id;
  return stays ? before->svid : nullptr;
}

}  // namespace

std::uint64_t EntrySet::HeldTraits::Priority(std::string_view id) {
  return Spread(std::hash<std::string_view>()(id));
}

std::uint64_t EntrySet::RowTraits::Priority(const identity::Selector& selector) {
  return Spread(std::hash<std::string>()(selector.type) +
                31 * std::hash<std::string>()(selector.value));
}

EntrySet::EntrySet() : digest_(std::make_shared<DigestCell>()) {}

void EntrySet::Count(const AuthorizedEntry& entry, bool more) {
  for (const identity::Selector& selector : entry.selectors) {
    const RowPtr* row = rows_.Find(selector);
    Row next = row != nullptr ? **row : Row{selector, 0, {}};
    next.uses = more ? next.uses + 1 : next.uses - 1;
    rows_ = next.uses == 0 ? rows_.Without(selector)
                           : rows_.With(std::make_shared<const Row>(std::move(next)));
  }
}

std::uint32_t EntrySet::RarestSelector(const AuthorizedEntry& entry) const {
  std::uint32_t rarest = 0;
  std::size_t fewest = 0;
  for (std::uint32_t i = 0; i < entry.selectors.size(); ++i) {
    const RowPtr* row = rows_.Find(entry.selectors[i]);
    const std::size_t uses = row != nullptr ? (*row)->uses : 0;
    if (i > 0 && uses >= fewest) continue;
    rarest = i;
    fewest = uses;
  }
  return rarest;
}

void EntrySet::Remove(const HeldEntry& held) {
  const EntryPtr entry = held.entry;
  const std::uint32_t under = held.indexed_under;
  if (!entry->selectors.empty()) {
    Row row = **rows_.Find(entry->selectors[under]);
    row.entries = row.entries.Without(std::string_view(entry->id));
    rows_ = rows_.With(std::make_shared<const Row>(std::move(row)));
  }
  Count(*entry, false);
  held_ = held_.Without(std::string_view(entry->id));
}

void EntrySet::Put(EntryPtr entry) {
  const HeldEntry* before = held_.Find(std::string_view(entry->id));
  SvidPtr svid = KeptSvid(before, *entry);
  if (before != nullptr) Remove(HeldEntry(*before));
  Count(*entry, true);
  const std::uint32_t under = RarestSelector(*entry);
  if (!entry->selectors.empty()) {
    Row row = **rows_.Find(entry->selectors[under]);
    row.entries = row.entries.With(entry);
    rows_ = rows_.With(std::make_shared<const Row>(std::move(row)));
  }
  held_ = held_.With(HeldEntry{std::move(entry), std::move(svid), under});
}

std::vector<HeldEntry> EntrySet::Merge(const std::vector<Change>& changes) const {
  std::map<std::string_view, EntryPtr> next;
  held_.ForEach(
      [&](const HeldEntry& held) { next.emplace_hint(next.end(), held.entry->id, held.entry); });
  for (const Change& change : changes) {
    next.erase(change.id);
    if (change.entry) next.emplace(change.entry->id, change.entry);
  }
  std::vector<HeldEntry> sorted;
  sorted.reserve(next.size());
  for (auto& [id, entry] : next) {
    SvidPtr svid = KeptSvid(held_.Find(id), *entry);
    sorted.push_back({std::move(entry), std::move(svid), 0});
  }
  return sorted;
}

void EntrySet::Rebuild(std::vector<HeldEntry> sorted) {
  std::map<identity::Selector, std::pair<Row, std::vector<EntryPtr>>> rows;
  for (const HeldEntry& held : sorted)
    for (const identity::Selector& selector : held.entry->selectors) ++rows[selector].first.uses;
  for (HeldEntry& held : sorted) {
    const identity::SelectorSet& selectors = held.entry->selectors;
    if (selectors.empty()) continue;
    const auto rarest = std::ranges::min_element(
        selectors, {},
        [&](const identity::Selector& selector) { return rows[selector].first.uses; });
    held.indexed_under = static_cast<std::uint32_t>(rarest - selectors.begin());
    rows[*rarest].second.push_back(held.entry);
  }
  std::vector<RowPtr> list;
  list.reserve(rows.size());
  for (auto& [selector, made] : rows) {
    made.first.selector = selector;
    made.first.entries = PersistentMap<EntryPtr, EntryTraits>::FromSorted(made.second);
    list.push_back(std::make_shared<const Row>(std::move(made.first)));
  }
  rows_ = PersistentMap<RowPtr, RowTraits>::FromSorted(list);
  held_ = Map::FromSorted(sorted);
}

EntrySet EntrySet::WithEntries(const std::vector<Change>& changes) const {
  // From here on making all anew is cheaper than making one path anew for each change.
  constexpr std::size_t kPathCost = 16;
  EntrySet next = *this;
  next.digest_ = std::make_shared<DigestCell>();
  if (changes.size() * kPathCost > size()) {
    next.Rebuild(Merge(changes));
    return next;
  }
  for (const Change& change : changes) {
    if (change.entry) {
      next.Put(change.entry);
    } else if (const HeldEntry* held = next.held_.Find(std::string_view(change.id))) {
      next.Remove(HeldEntry(*held));
    }
  }
  return next;
}

EntrySet EntrySet::WithSvids(const std::vector<std::pair<std::string, SvidPtr>>& svids) const {
  EntrySet next = *this;
  for (const auto& [id, svid] : svids) {
    const HeldEntry* held = next.held_.Find(std::string_view(id));
    if (held == nullptr || held->svid == svid) continue;
    if (svid && svid->id != held->entry->spiffe_id) continue;
    next.held_ = next.held_.With(HeldEntry{held->entry, svid, held->indexed_under});
  }
  return next;
}

std::vector<HeldEntry> EntrySet::Match(const identity::SelectorSet& held, WallTime now) const {
  std::vector<HeldEntry> granted;
  for (const identity::Selector& selector : held) {
    const RowPtr* row = rows_.Find(selector);
    if (row == nullptr) continue;
    (*row)->entries.ForEach([&](const EntryPtr& entry) {
      if (entry->store_svid || entry->HasExpired(now)) return;
      if (identity::IsSubset(entry->selectors, held)) granted.push_back(*Find(entry->id));
    });
  }
  std::ranges::sort(granted, {},
                    [](const HeldEntry& one) -> const std::string& { return one.entry->id; });
  return granted;
}

ca::Sha256Digest EntrySet::digest() const {
  const std::lock_guard lock(digest_->mutex);
  if (digest_->value) return *digest_->value;
  ca::Sha256Hasher hasher;
  Bytes record;
  held_.ForEach([&](const HeldEntry& held) {
    const AuthorizedEntry& entry = *held.entry;
    record.clear();
    AppendBigEndian(&record, entry.id.size(), 4);
    record.insert(record.end(), entry.id.begin(), entry.id.end());
    AppendBigEndian(&record, static_cast<std::uint64_t>(entry.revision_number), 8);
    AppendBigEndian(&record, static_cast<std::uint64_t>(entry.created_at), 8);
    hasher.Update(record);
  });
  digest_->value = hasher.Finish();
  return *digest_->value;
}

}  // namespace signet::agent
