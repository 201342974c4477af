// From the hash of a key to the rows that have it, in their order. It keeps no keys: who looks up
// compares the row's own value. Sized for a hundred thousand rows with mostly one row a key.
//
// Threads: as the table that owns it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/check.h"

namespace signet::identity {

// `Row` has a member `first` that orders the rows of a table and never changes.
template <class Row>
class RowIndex {
 public:
  void Reserve(std::size_t keys) { groups_.reserve(keys); }

  void Add(std::size_t key, const Row* row) {
    Group& group = groups_[key];
    if (group.one == nullptr && group.many == nullptr) {
      group.one = row;
      return;
    }
    if (group.many == nullptr) {
      group.many = std::make_unique<std::vector<const Row*>>(1, group.one);
      group.one = nullptr;
    }
    group.many->insert(std::lower_bound(group.many->begin(), group.many->end(), row, Before), row);
  }

  // The row must be there under this key.
  void Remove(std::size_t key, const Row* row) {
    const auto found = groups_.find(key);
    CHECK_TRUE(found != groups_.end());
    Group& group = found->second;
    if (group.many == nullptr) {
      CHECK_TRUE(group.one == row);
      groups_.erase(found);
      return;
    }
    const auto at = std::lower_bound(group.many->begin(), group.many->end(), row, Before);
    CHECK_TRUE(at != group.many->end() && *at == row);
    group.many->erase(at);
    if (group.many->empty()) groups_.erase(found);
  }

  // Rows whose key has this hash; the caller compares. Valid until the next change.
  std::span<const Row* const> Find(std::size_t key) const {
    const auto found = groups_.find(key);
    if (found == groups_.end()) return {};
    const Group& group = found->second;
    if (group.many != nullptr) return *group.many;
    return {&group.one, 1};
  }

 private:
  struct Group {
    const Row* one = nullptr;
    std::unique_ptr<std::vector<const Row*>> many;
  };
  static bool Before(const Row* a, const Row* b) { return a->first < b->first; }

  std::unordered_map<std::size_t, Group> groups_;
};

// The hash of several values in order.
template <class... Values>
std::size_t HashOf(const Values&... values) {
  std::size_t hash = 0x9e3779b97f4a7c15U;
  ((hash = (hash ^ std::hash<Values>()(values)) * 0x9ddfea08eb382d69U, hash ^= hash >> 29U), ...);
  return hash;
}

}  // namespace signet::identity
