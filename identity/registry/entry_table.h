// The entries in memory, indexed for every question asked of them: by id, by parent, by SPIFFE ID,
// by selector, by likeness, and the node entries by selector.
//
// Threads: none of its own; the registry's lock guards it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "identity/registry/entry.h"
#include "identity/registry/row_index.h"

namespace signet::identity {

using EntryPtr = std::shared_ptr<const Entry>;

class EntryTable {
 public:
  // `first` numbers the entries in the order of creation.
  using Row = std::map<std::uint64_t, EntryPtr>::value_type;

  // `server` is the parent of node entries.
  explicit EntryTable(SpiffeId server) : server_(std::move(server)) {}
  EntryTable(const EntryTable&) = delete;
  EntryTable& operator=(const EntryTable&) = delete;

  // Makes room for so many entries at once.
  void Reserve(std::size_t entries);
  // Adds, or replaces the one of this id in its place.
  void Put(EntryPtr entry);
  void Remove(const std::string& id);

  std::size_t size() const { return rows_.size(); }
  EntryPtr Find(const std::string& id) const;  // null: none
  // One with the same SPIFFE ID, parent and selectors, the oldest; null: none.
  EntryPtr FindSimilar(const Entry& entry) const;

  // Calls `visit` for the entries that match, in order, after the row `after`, until it answers
  // false.
  void Visit(const EntryFilter& filter, std::uint64_t after,
             const std::function<bool(const Row&)>& visit) const;
  void VisitChildren(const SpiffeId& parent,
                     const std::function<void(const EntryPtr&)>& visit) const;
  void VisitWithSpiffeId(const SpiffeId& id,
                         const std::function<void(const EntryPtr&)>& visit) const;
  // Node entries whose selectors are among `selectors`.
  void VisitAliases(const SelectorSet& selectors,
                    const std::function<void(const EntryPtr&)>& visit) const;

 private:
  const Row* FindRow(const std::string& id) const;
  void Index(const Row* row);
  void Unindex(const Row* row);
  bool Candidates(const EntryFilter& filter, std::vector<const Row*>& storage,
                  std::span<const Row* const>& candidates) const;

  const SpiffeId server_;
  std::map<std::uint64_t, EntryPtr> rows_;
  std::uint64_t next_ = 1;
  RowIndex<Row> by_id_;
  RowIndex<Row> by_likeness_;
  RowIndex<Row> by_spiffe_id_;
  RowIndex<Row> by_parent_;
  RowIndex<Row> by_selector_;
  RowIndex<Row> node_entries_;  // by their first selector
};

}  // namespace signet::identity
