#include "agent/cache/workload_view.h"

#include <algorithm>
#include <map>
#include <set>

namespace signet::agent {
namespace {

bool IsPreferred(const AuthorizedEntry& a, const AuthorizedEntry& b) {
  return a.created_at != b.created_at ? a.created_at < b.created_at : a.id < b.id;
}

// Hint -> the one entry that has it.
std::map<std::string, const AuthorizedEntry*> ChooseByHint(const std::vector<HeldEntry>& granted) {
  std::map<std::string, const AuthorizedEntry*> chosen;
  for (const HeldEntry& held : granted) {
    const AuthorizedEntry& entry = *held.entry;
    if (entry.hint.empty()) continue;
    const auto [slot, added] = chosen.emplace(entry.hint, &entry);
    if (!added && IsPreferred(entry, *slot->second)) slot->second = &entry;
  }
  return chosen;
}

}  // namespace

std::vector<std::string> WorkloadView::Missing() const {
  std::vector<std::string> ids;
  for (const Grant& grant : grants)
    if (!grant.svid) ids.push_back(grant.entry->id);
  return ids;
}

WorkloadView ViewFor(const Snapshot& snapshot, const identity::SelectorSet& held, WallTime now,
                     EqualHints equal_hints) {
  WorkloadView view;
  view.own_bundle = snapshot.FindBundle(snapshot.trust_domain);
  if (!snapshot.synced || !view.own_bundle) return view;
  view.denials = snapshot.denials;
  view.denials_revision = snapshot.denials_revision;
  std::vector<HeldEntry> granted = snapshot.entries.Match(held, now);
  std::erase_if(granted, [&](const HeldEntry& each) {
    return snapshot.IsDenied(each.entry->spiffe_id, now);
  });
  const auto by_hint = ChooseByHint(granted);
  std::set<identity::TrustDomain> federated;
  for (const auto& [entry, svid, indexed_under] : granted) {
    if (equal_hints == EqualHints::kOldestOnly && !entry->hint.empty() &&
        by_hint.at(entry->hint) != entry.get())
      continue;
    const bool servable = svid && svid->id == entry->spiffe_id && svid->not_after > now &&
                          !snapshot.IsDenied(*svid, now);
    view.grants.push_back({entry, servable ? svid : nullptr});
    federated.insert(entry->federates_with.begin(), entry->federates_with.end());
  }
  for (const identity::TrustDomain& name : federated) {
    if (name == snapshot.trust_domain) continue;
    if (BundlePtr bundle = snapshot.FindBundle(name)) view.federated.push_back(std::move(bundle));
  }
  view.state = view.grants.empty() ? WorkloadView::State::kDenied : WorkloadView::State::kGranted;
  return view;
}

}  // namespace signet::agent
