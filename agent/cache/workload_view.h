// What one caller is granted out of a snapshot. Pure.
#pragma once

#include <string>
#include <vector>

#include "agent/cache/snapshot.h"

namespace signet::agent {

struct Grant {
  EntryPtr entry;
  SvidPtr svid;  // null: not minted yet, or expired
  friend bool operator==(const Grant&, const Grant&) = default;
};

struct WorkloadView {
  enum class State {
    kNotReady,  // the agent does not know its entries or its bundle yet
    kDenied,    // no entry is for this caller
    kGranted,
  };
  State state = State::kNotReady;
  // Ascending by entry id, so the default identity, the first, is stable; hints that are not empty
  // are unique. Never empty when kGranted.
  std::vector<Grant> grants;
  BundlePtr own_bundle;
  // Bundles of the trust domains the granted entries federate with, as far as they are known.
  std::vector<BundlePtr> federated;
  // Of the whole trust domain; never null.
  identity::DenialSetPtr denials = identity::DenialSet::Create({});
  std::uint64_t denials_revision = 0;

  // Ids of granted entries that have no SVID to give.
  std::vector<std::string> Missing() const;

  // The same entries, SVIDs and bundles in memory: looks at nothing inside them.
  friend bool operator==(const WorkloadView&, const WorkloadView&) = default;
};

// Of entries with the same hint the older one counts, then the one of lower id; the others are not
// granted at all, as in SPIRE's Workload API. Its other faces know no hints and grant them all.
enum class EqualHints { kOldestOnly, kAll };
WorkloadView ViewFor(const Snapshot& snapshot, const identity::SelectorSet& held, WallTime now,
                     EqualHints equal_hints = EqualHints::kOldestOnly);

}  // namespace signet::agent
