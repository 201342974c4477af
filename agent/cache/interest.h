// Which selectors the callers with open streams hold, and so which SVIDs somebody uses now. Asked
// only when there is no room for all SVIDs.
//
// Threads: safe from any thread. A Handle must not outlive its Interest.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "agent/cache/entry_set.h"

namespace signet::agent {

class Interest {
 public:
  // One open stream, counted until destroyed.
  class Handle {
   public:
    Handle() = default;
    Handle(Handle&& other) noexcept : interest_(std::exchange(other.interest_, nullptr)) {
      selectors_ = std::move(other.selectors_);
    }
    Handle& operator=(Handle&& other) noexcept {
      std::swap(interest_, other.interest_);
      std::swap(selectors_, other.selectors_);
      return *this;
    }
    ~Handle() {
      if (interest_ != nullptr) interest_->Remove(selectors_);
    }

   private:
    friend class Interest;
    Handle(Interest* interest, identity::SelectorSet selectors)
        : interest_(interest), selectors_(std::move(selectors)) {}
    Interest* interest_ = nullptr;
    identity::SelectorSet selectors_;
  };

  Handle Add(const identity::SelectorSet& selectors);
  // Ids of the entries that are granted to a caller with an open stream. A selector that a caller
  // holds does not count by itself: all of the entry's must be held.
  std::unordered_set<std::string> InUse(const EntrySet& entries, WallTime now) const;

 private:
  void Remove(const identity::SelectorSet& selectors);

  mutable std::mutex mutex_;
  std::map<identity::SelectorSet, std::size_t> streams_;
};

}  // namespace signet::agent
