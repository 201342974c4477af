// Entries that somebody keeps as files: whose they are, and what applying a whole set of them comes
// to. The owner is told by the entry's id, so that it lives and dies with the entry:
//
//   apply.<owner>.<name>      the name the owner gave it
//   apply.<owner>.<32 hex>    none given: of the SHA-256 of SPIFFE ID, parent and selectors
//
// Every other id is one made by hand, and nobody's.
//
// Threads: values.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "identity/registry/entry.h"

namespace signet::identity {

inline constexpr Reason kOwnerMalformed{"malformed owner label"};

using EntryPtr = std::shared_ptr<const Entry>;

// 1 to 63 of a-z, 0-9 and dashes. Fails with kOwnerMalformed (INVALID_ARGUMENT).
Status CheckOwner(std::string_view owner);
// The registry's id for an entry whose `id` is the name its owner gave it, or empty. `selectors`
// sorted.
std::string OwnedEntryId(std::string_view owner, const Entry& entry);
// The inverse: the name in the id of an entry of `owner`, empty when it was given none.
std::string GivenName(std::string_view owner, const Entry& entry);
// 32 hex digits of what tells one entry from another: SPIFFE ID, parent and selectors (sorted).
std::string IdentityDigest(const Entry& entry);
// Empty: nobody's, made by hand.
std::string_view OwnerOf(std::string_view entry_id);

// All that an owner wants. `id` of each is the name or empty.
struct OwnedSet {
  std::string owner;
  std::vector<Entry> entries;
  bool prune = false;      // delete what the owner has and the set does not name
  bool plan_only = false;  // say what would be done
};

// Created: no `before`. Deleted: no `after`.
struct OwnedChange {
  EntryPtr before;
  EntryPtr after;
};

struct OwnedProblem {
  std::size_t index = 0;  // in OwnedSet::entries
  std::string text;
  std::string hint;  // what to do; may be empty
};

struct ApplyOutcome {
  std::vector<OwnedProblem> problems;  // in order of index; any: nothing was changed
  std::vector<OwnedChange> changes;
  std::size_t unchanged = 0;
  std::size_t not_named = 0;  // the owner's that the set does not name, and that stay
  std::uint64_t revision = 0;
};

}  // namespace signet::identity
