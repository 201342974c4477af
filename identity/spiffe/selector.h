// A selector is a fact an attestor vouches for, such as unix:uid:1000. An entry's selectors must
// all be among a workload's.
#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kSelectorMalformed{"malformed selector"};

struct Selector {
  std::string type;   // "unix"
  std::string value;  // "uid:1000"

  // Splits at the first colon. Fails with kSelectorMalformed when a side is empty.
  static Result<Selector> Parse(std::string_view text);
  std::string ToString() const { return type + ":" + value; }
  friend auto operator<=>(const Selector&, const Selector&) = default;
};

// Sorted and without repetition.
using SelectorSet = std::vector<Selector>;
SelectorSet MakeSelectorSet(std::vector<Selector> selectors);
// Every element of `needed` is in `held`; both sorted. An empty `needed` is a subset of all:
// callers that grant on a match must refuse empty sets before.
bool IsSubset(const SelectorSet& needed, const SelectorSet& held);

}  // namespace signet::identity
