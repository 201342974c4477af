// How a listing's filter compares sets: exact, subset, superset, any.
#pragma once

#include <algorithm>
#include <vector>

#include "identity/registry/entry.h"

namespace signet::identity {

// Both sorted and without repetition. An empty `held` matches nothing but its equal.
template <class T>
bool MatchesSet(const std::vector<T>& held, const std::vector<T>& wanted, MatchBehavior match) {
  switch (match) {
    case MatchBehavior::kExact:
      return held == wanted;
    case MatchBehavior::kSubset:
      return !held.empty() && std::includes(wanted.begin(), wanted.end(), held.begin(), held.end());
    case MatchBehavior::kSuperset:
      return !held.empty() && std::includes(held.begin(), held.end(), wanted.begin(), wanted.end());
    case MatchBehavior::kAny:
      return std::any_of(held.begin(), held.end(), [&](const T& item) {
        return std::binary_search(wanted.begin(), wanted.end(), item);
      });
  }
  return false;
}

}  // namespace signet::identity
