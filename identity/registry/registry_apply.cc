#include <utility>

#include "identity/registry/entry_apply.h"
#include "identity/registry/registry.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {

Result<ApplyOutcome> Registry::ApplyEntries(OwnedSet set, const Actor& by) {
  SIGNET_RETURN_IF_ERROR(CheckOwner(set.owner));
  State& state = *state_;
  const bool plan_only = set.plan_only;
  const std::lock_guard changing(state.change_mutex);
  ApplyOutcome outcome = EntryApply(state.entries, state.bundles, state.trust_domain, state.Now())
                             .Decide(std::move(set));
  // A refused set comes without changes.
  if (!plan_only && !outcome.changes.empty()) {
    Change change;
    for (const OwnedChange& one : outcome.changes) {
      if (one.after != nullptr) {
        change.entries_put.push_back(one.after);
      } else {
        change.entries_removed.push_back(one.before);
      }
    }
    SIGNET_RETURN_IF_ERROR(state.Publish(change, by));
  }
  outcome.revision = state.revision;
  return outcome;
}

}  // namespace signet::identity
