// What a batch of entry changes comes to: each element is checked against the entries as they are
// and against what the batch did before it, and what was accepted is gathered. It changes nothing
// itself.
//
// Threads: none; the entries must stand still while it lives.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "identity/registry/entry_table.h"
#include "identity/registry/registry.h"

namespace signet::identity {

// Sorts the sets; answers what `entry` says twice, or "".
std::string NormaliseEntry(Entry& entry);

class EntryBatch {
 public:
  // `now`: Unix seconds, for created_at.
  EntryBatch(const EntryTable& entries, const std::map<TrustDomain, BundlePtr>& bundles,
             const TrustDomain& trust_domain, std::int64_t now, Random& random)
      : entries_(entries),
        bundles_(bundles),
        trust_domain_(trust_domain),
        now_(now),
        random_(random) {}

  EntryOutcome Create(Entry entry);
  EntryOutcome Update(EntryUpdate update);
  Status Delete(const std::string& id);

  bool empty() const { return put_.empty() && removed_.empty(); }
  // What was accepted.
  Change ToChange() const;
  // Whether `entry` is one this batch made.
  bool Made(const EntryPtr& entry) const;

 private:
  EntryPtr Current(const std::string& id) const;
  EntryPtr FindSimilar(const Entry& entry) const;
  Status CheckFederatesWith(const Entry& entry) const;
  void Put(const EntryPtr& entry);

  const EntryTable& entries_;
  const std::map<TrustDomain, BundlePtr>& bundles_;
  const TrustDomain& trust_domain_;
  const std::int64_t now_;
  Random& random_;

  std::vector<EntryPtr> put_;
  std::unordered_map<std::string, std::size_t> place_in_put_;  // by entry id
  std::unordered_multimap<std::size_t, EntryPtr> created_;     // by likeness
  std::vector<EntryPtr> removed_;
  std::unordered_map<std::string, EntryPtr> removed_by_id_;
};

}  // namespace signet::identity
