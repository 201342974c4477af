#include "agent/cache/entry_set.h"

#include <algorithm>

#include "base/check.h"

namespace signet::agent {
namespace {

void AppendBigEndian(Bytes* out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out->push_back(static_cast<std::uint8_t>((value >> shift) & 0xff));
}

}  // namespace

std::shared_ptr<const EntrySet> EntrySet::Create(std::vector<EntryPtr> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const EntryPtr& a, const EntryPtr& b) { return a->id < b->id; });
  return std::shared_ptr<const EntrySet>(new EntrySet(std::move(entries)));
}

EntrySet::EntrySet(std::vector<EntryPtr> entries) : entries_(std::move(entries)) {
  const auto repeated =
      std::adjacent_find(entries_.begin(), entries_.end(),
                         [](const EntryPtr& a, const EntryPtr& b) { return a->id == b->id; });
  CHECK_TRUE(repeated == entries_.end());
  BuildIndex();
  BuildDigest();
}

void EntrySet::BuildIndex() {
  std::unordered_map<std::string, std::size_t> uses;
  for (const EntryPtr& entry : entries_)
    for (const identity::Selector& selector : entry->selectors) ++uses[selector.ToString()];
  for (std::size_t position = 0; position < entries_.size(); ++position) {
    std::string rarest;
    std::size_t fewest = 0;
    for (const identity::Selector& selector : entries_[position]->selectors) {
      std::string text = selector.ToString();
      const std::size_t count = uses[text];
      if (rarest.empty() || count < fewest) {
        rarest = std::move(text);
        fewest = count;
      }
    }
    if (!rarest.empty()) by_selector_[rarest].push_back(position);
  }
}

void EntrySet::BuildDigest() {
  ca::Sha256Hasher hasher;
  Bytes record;
  for (const EntryPtr& entry : entries_) {
    record.clear();
    AppendBigEndian(&record, entry->id.size(), 4);
    record.insert(record.end(), entry->id.begin(), entry->id.end());
    AppendBigEndian(&record, static_cast<std::uint64_t>(entry->revision_number), 8);
    AppendBigEndian(&record, static_cast<std::uint64_t>(entry->created_at), 8);
    hasher.Update(record);
  }
  digest_ = hasher.Finish();
}

std::optional<std::size_t> EntrySet::Find(std::string_view id) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), id,
                       [](const EntryPtr& entry, std::string_view key) { return entry->id < key; });
  if (found == entries_.end() || (*found)->id != id) return std::nullopt;
  return static_cast<std::size_t>(found - entries_.begin());
}

std::vector<std::size_t> EntrySet::Match(const identity::SelectorSet& held, WallTime now) const {
  std::vector<std::size_t> granted;
  for (const identity::Selector& selector : held) {
    const auto candidates = by_selector_.find(selector.ToString());
    if (candidates == by_selector_.end()) continue;
    for (const std::size_t position : candidates->second) {
      const AuthorizedEntry& entry = *entries_[position];
      if (entry.store_svid || entry.HasExpired(now)) continue;
      if (identity::IsSubset(entry.selectors, held)) granted.push_back(position);
    }
  }
  std::sort(granted.begin(), granted.end());
  return granted;
}

}  // namespace signet::agent
