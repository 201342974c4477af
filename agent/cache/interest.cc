#include "agent/cache/interest.h"

#include <vector>

namespace signet::agent {

Interest::Handle Interest::Add(const identity::SelectorSet& selectors) {
  const std::lock_guard lock(mutex_);
  ++streams_[selectors];
  return {this, selectors};
}

void Interest::Remove(const identity::SelectorSet& selectors) {
  const std::lock_guard lock(mutex_);
  const auto found = streams_.find(selectors);
  if (found != streams_.end() && --found->second == 0) streams_.erase(found);
}

std::unordered_set<std::string> Interest::InUse(const EntrySet& entries, WallTime now) const {
  std::vector<identity::SelectorSet> held;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [selectors, count] : streams_) held.push_back(selectors);
  }
  std::unordered_set<std::string> ids;
  for (const identity::SelectorSet& selectors : held)
    for (const HeldEntry& granted : entries.Match(selectors, now)) ids.insert(granted.entry->id);
  return ids;
}

}  // namespace signet::agent
