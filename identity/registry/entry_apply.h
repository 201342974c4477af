// What applying an owner's set of entries comes to, decided on the entries as they are: what is
// created, updated and deleted, or all that is wrong. It changes nothing itself.
//
// Threads: none; the entries must stand still while it lives.
#pragma once

#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "identity/registry/entry_table.h"
#include "identity/registry/owned_entries.h"
#include "identity/registry/registry.h"

namespace signet::identity {

class EntryApply {
 public:
  // `now`: Unix seconds.
  EntryApply(const EntryTable& entries, const std::map<TrustDomain, BundlePtr>& bundles,
             const TrustDomain& trust_domain, std::int64_t now)
      : entries_(entries), bundles_(bundles), trust_domain_(trust_domain), now_(now) {}

  // Call once. `set.owner` is well formed. The outcome's revision is left to the caller.
  ApplyOutcome Decide(OwnedSet set);

 private:
  // Everything wrong with the element itself and beside the others of the set; gives it its id.
  // Answers whether it can be compared with what is there.
  bool Check(std::size_t index, Entry* entry);
  void CheckFederatesWith(std::size_t index, const Entry& entry);
  bool CheckRepeated(std::size_t index, const Entry& entry);
  // Whether the identity of `entry` belongs to another one that stays.
  bool CheckTaken(std::size_t index, const Entry& entry, bool prune);
  void Compare(std::size_t index, Entry entry, bool prune);
  void Problem(std::size_t index, std::string text, std::string hint = {});

  const EntryTable& entries_;
  const std::map<TrustDomain, BundlePtr>& bundles_;
  const TrustDomain& trust_domain_;
  const std::int64_t now_;

  std::string owner_;
  std::unordered_set<std::string> wanted_;      // ids
  std::unordered_set<std::string> identities_;  // digests
  ApplyOutcome outcome_;
};

}  // namespace signet::identity
