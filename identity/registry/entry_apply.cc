#include "identity/registry/entry_apply.h"

#include <algorithm>
#include <utility>

#include "base/stable_sort.h"
#include "identity/registry/entry_batch.h"

namespace signet::identity {
namespace {

bool SameIdentity(const Entry& a, const Entry& b) {
  return a.spiffe_id == b.spiffe_id && a.parent_id == b.parent_id && a.selectors == b.selectors;
}

}  // namespace

ApplyOutcome EntryApply::Decide(OwnedSet set) {
  owner_ = std::move(set.owner);
  // All of them before any is compared: what the set names stays, wherever it stands in it.
  std::vector<bool> comparable;
  comparable.reserve(set.entries.size());
  for (std::size_t i = 0; i < set.entries.size(); ++i)
    comparable.push_back(Check(i, &set.entries[i]));
  for (std::size_t i = 0; i < set.entries.size(); ++i) {
    if (comparable[i]) Compare(i, std::move(set.entries[i]), set.prune);
  }
  entries_.Visit({}, 0, [&](const EntryTable::Row& row) {
    const EntryPtr& entry = row.second;
    if (OwnerOf(entry->id) != owner_ || wanted_.contains(entry->id)) return true;
    if (set.prune) {
      outcome_.changes.push_back({.before = entry, .after = nullptr});
    } else {
      ++outcome_.not_named;
    }
    return true;
  });
  if (!outcome_.problems.empty()) {
    StableSortBy(outcome_.problems, &OwnedProblem::index);
    outcome_.changes.clear();
  }
  return std::move(outcome_);
}

bool EntryApply::Check(std::size_t index, Entry* entry) {
  const std::string repeated = NormaliseEntry(*entry);
  if (!repeated.empty()) Problem(index, repeated, "keep one");
  entry->id = OwnedEntryId(owner_, *entry);
  if (const Status checked = CheckEntry(*entry, trust_domain_); !checked) {
    Problem(index, checked.error().detail);
    return false;
  }
  if (entry->expires_at != 0 && entry->expires_at < now_)
    Problem(index, "expires_at has passed", "take the entry out, or give it more time");
  CheckFederatesWith(index, *entry);
  return CheckRepeated(index, *entry);
}

void EntryApply::CheckFederatesWith(std::size_t index, const Entry& entry) {
  for (const TrustDomain& domain : entry.federates_with) {
    if (bundles_.contains(domain)) continue;
    Problem(index, "no bundle of trust domain \"" + domain.name() + "\" is held",
            "federate with it first: signet federation create, or signet bundle set");
  }
}

bool EntryApply::CheckRepeated(std::size_t index, const Entry& entry) {
  const bool new_id = wanted_.insert(entry.id).second;
  const bool new_identity = identities_.insert(IdentityDigest(entry)).second;
  if (!new_identity) {
    Problem(index, "an entry before it has the same SPIFFE ID, parent and selectors", "keep one");
  } else if (!new_id) {
    Problem(index, "an entry before it has the same id", "give it another one");
  }
  return new_identity && new_id;
}

bool EntryApply::CheckTaken(std::size_t index, const Entry& entry, bool prune) {
  const EntryPtr there = entries_.FindSimilar(entry);
  if (there == nullptr || there->id == entry.id) return false;
  const std::string_view owner = OwnerOf(there->id);
  const std::string taken =
      "an entry with the same SPIFFE ID, parent and selectors is there: \"" + there->id + "\", ";
  if (owner.empty()) {
    Problem(index, taken + "made by hand",
            "to keep it in files, delete that one first: signet entry delete " + there->id);
    return true;
  }
  if (owner != owner_) {
    Problem(index, taken + "of owner \"" + std::string(owner) + "\"",
            "take it out of one of the two sets of files");
    return true;
  }
  // Named by the set, it gets another identity in the same step: two of one are refused before.
  if (prune || wanted_.contains(there->id)) return false;
  Problem(index, taken + "which these files do not name",
          "prune, so that it is replaced, or give this one the same id");
  return true;
}

void EntryApply::Compare(std::size_t index, Entry entry, bool prune) {
  EntryPtr current = entries_.Find(entry.id);
  const bool new_identity = current == nullptr || !SameIdentity(*current, entry);
  if (new_identity && CheckTaken(index, entry, prune)) return;
  entry.revision_number = current == nullptr ? 0 : current->revision_number;
  entry.created_at = current == nullptr ? now_ : current->created_at;
  if (current != nullptr) {
    if (entry == *current) {
      ++outcome_.unchanged;
      return;
    }
    ++entry.revision_number;
  }
  outcome_.changes.push_back(
      {.before = std::move(current), .after = std::make_shared<const Entry>(std::move(entry))});
}

void EntryApply::Problem(std::size_t index, std::string text, std::string hint) {
  outcome_.problems.push_back({index, std::move(text), std::move(hint)});
}

}  // namespace signet::identity
