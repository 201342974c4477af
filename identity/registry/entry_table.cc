#include "identity/registry/entry_table.h"

#include <algorithm>
#include <utility>

namespace signet::identity {
namespace {

std::size_t SelectorKey(const Selector& selector) { return HashOf(selector.type, selector.value); }
std::size_t IdKey(const SpiffeId& id) { return HashOf(id.path(), id.trust_domain().name()); }

std::size_t LikenessKey(const Entry& entry) {
  std::size_t key = HashOf(entry.spiffe_id.path(), entry.parent_id.path());
  for (const Selector& selector : entry.selectors) key = HashOf(key, SelectorKey(selector));
  return key;
}

}  // namespace

const EntryTable::Row* EntryTable::FindRow(const std::string& id) const {
  for (const Row* row : by_id_.Find(HashOf(id))) {
    if (row->second->id == id) return row;
  }
  return nullptr;
}

void EntryTable::Index(const Row* row) {
  const Entry& entry = *row->second;
  by_id_.Add(HashOf(entry.id), row);
  by_likeness_.Add(LikenessKey(entry), row);
  by_spiffe_id_.Add(IdKey(entry.spiffe_id), row);
  by_parent_.Add(IdKey(entry.parent_id), row);
  for (const Selector& selector : entry.selectors) by_selector_.Add(SelectorKey(selector), row);
  if (entry.parent_id == server_ && !entry.selectors.empty()) {
    node_entries_.Add(SelectorKey(entry.selectors.front()), row);
  }
}

void EntryTable::Unindex(const Row* row) {
  const Entry& entry = *row->second;
  by_id_.Remove(HashOf(entry.id), row);
  by_likeness_.Remove(LikenessKey(entry), row);
  by_spiffe_id_.Remove(IdKey(entry.spiffe_id), row);
  by_parent_.Remove(IdKey(entry.parent_id), row);
  for (const Selector& selector : entry.selectors) by_selector_.Remove(SelectorKey(selector), row);
  if (entry.parent_id == server_ && !entry.selectors.empty()) {
    node_entries_.Remove(SelectorKey(entry.selectors.front()), row);
  }
}

void EntryTable::Reserve(std::size_t entries) {
  for (RowIndex<Row>* index : {&by_id_, &by_likeness_, &by_spiffe_id_, &by_selector_})
    index->Reserve(entries);
}

void EntryTable::Put(EntryPtr entry) {
  if (const Row* row = FindRow(entry->id); row != nullptr) {
    Unindex(row);
    const auto place = rows_.find(row->first);
    place->second = std::move(entry);
    Index(&*place);
    return;
  }
  const auto place = rows_.emplace_hint(rows_.end(), next_++, std::move(entry));
  Index(&*place);
}

void EntryTable::Remove(const std::string& id) {
  const Row* row = FindRow(id);
  if (row == nullptr) return;
  Unindex(row);
  rows_.erase(row->first);
}

EntryPtr EntryTable::Find(const std::string& id) const {
  const Row* row = FindRow(id);
  return row == nullptr ? nullptr : row->second;
}

EntryPtr EntryTable::FindSimilar(const Entry& entry) const {
  for (const Row* row : by_likeness_.Find(LikenessKey(entry))) {
    const Entry& other = *row->second;
    if (other.spiffe_id == entry.spiffe_id && other.parent_id == entry.parent_id &&
        other.selectors == entry.selectors) {
      return row->second;
    }
  }
  return nullptr;
}

// Narrows the search to rows one index names; false when only a scan of all will do.
bool EntryTable::Candidates(const EntryFilter& filter, std::vector<const Row*>& storage,
                            std::span<const Row* const>& candidates) const {
  bool narrowed = false;
  const auto offer = [&](std::span<const Row* const> rows) {
    if (!narrowed || rows.size() < candidates.size()) candidates = rows;
    narrowed = true;
  };
  if (filter.spiffe_id) offer(by_spiffe_id_.Find(IdKey(*filter.spiffe_id)));
  if (filter.parent_id) offer(by_parent_.Find(IdKey(*filter.parent_id)));
  if (!filter.selectors) return narrowed;
  const auto& [selectors, match] = *filter.selectors;
  if (match == MatchBehavior::kExact || match == MatchBehavior::kSuperset) {
    for (const Selector& selector : selectors) offer(by_selector_.Find(SelectorKey(selector)));
  } else if (!narrowed) {
    for (const Selector& selector : selectors) {
      const auto rows = by_selector_.Find(SelectorKey(selector));
      storage.insert(storage.end(), rows.begin(), rows.end());
    }
    std::sort(storage.begin(), storage.end(),
              [](const Row* a, const Row* b) { return a->first < b->first; });
    storage.erase(std::unique(storage.begin(), storage.end()), storage.end());
    offer(storage);
  }
  return narrowed;
}

void EntryTable::Visit(const EntryFilter& filter, std::uint64_t after,
                       const std::function<bool(const Row&)>& visit) const {
  std::vector<const Row*> storage;
  std::span<const Row* const> candidates;
  if (!Candidates(filter, storage, candidates)) {
    for (auto row = rows_.upper_bound(after); row != rows_.end(); ++row) {
      if (Matches(*row->second, filter) && !visit(*row)) return;
    }
    return;
  }
  auto at =
      std::upper_bound(candidates.begin(), candidates.end(), after,
                       [](std::uint64_t number, const Row* row) { return number < row->first; });
  for (; at != candidates.end(); ++at) {
    if (Matches(*(*at)->second, filter) && !visit(**at)) return;
  }
}

void EntryTable::VisitChildren(const SpiffeId& parent,
                               const std::function<void(const EntryPtr&)>& visit) const {
  for (const Row* row : by_parent_.Find(IdKey(parent))) {
    if (row->second->parent_id == parent) visit(row->second);
  }
}

void EntryTable::VisitWithSpiffeId(const SpiffeId& id,
                                   const std::function<void(const EntryPtr&)>& visit) const {
  for (const Row* row : by_spiffe_id_.Find(IdKey(id))) {
    if (row->second->spiffe_id == id) visit(row->second);
  }
}

void EntryTable::VisitAliases(const SelectorSet& selectors,
                              const std::function<void(const EntryPtr&)>& visit) const {
  // Each node entry stands under one of its selectors, which must be among those held.
  for (const Selector& held : selectors) {
    for (const Row* row : node_entries_.Find(SelectorKey(held))) {
      const SelectorSet& needed = row->second->selectors;
      if (needed.front() == held && IsSubset(needed, selectors)) visit(row->second);
    }
  }
}

}  // namespace signet::identity
