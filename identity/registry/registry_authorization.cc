// Which entries an agent may hold, and the reverse: walks over the parent relation, in memory.
#include <algorithm>
#include <unordered_set>
#include <vector>

#include "identity/registry/registry.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {

std::vector<EntryPtr> Registry::AuthorizedEntries(const SpiffeId& agent) const {
  const State& state = *state_;
  const SpiffeId server = ServerId(state.trust_domain);
  std::vector<EntryPtr> authorized;
  std::unordered_set<SpiffeId> seen{server, agent};  // a parent is expanded once: cycles end
  std::vector<SpiffeId> parents;
  if (agent != server) parents.push_back(agent);
  const std::int64_t now = state.Now();
  const std::shared_lock lock(state.memory_mutex);
  const auto expand = [&](const EntryPtr& entry) {
    if (IsOver(*entry, now)) return;
    if (seen.insert(entry->spiffe_id).second) parents.push_back(entry->spiffe_id);
  };
  if (const NodePtr node = state.nodes.Find(agent); node != nullptr) {
    state.entries.VisitAliases(node->selectors, expand);
  }
  while (!parents.empty()) {
    const SpiffeId parent = std::move(parents.back());
    parents.pop_back();
    state.entries.VisitChildren(parent, [&](const EntryPtr& entry) {
      if (IsOver(*entry, now)) return;
      authorized.push_back(entry);
      expand(entry);
    });
  }
  return authorized;
}

EntryPtr Registry::FindOwnChild(const SpiffeId& agent, const std::string& entry_id) const {
  const State& state = *state_;
  if (agent == ServerId(state.trust_domain)) return nullptr;
  const std::int64_t now = state.Now();
  const std::shared_lock lock(state.memory_mutex);
  EntryPtr entry = state.entries.Find(entry_id);
  if (entry == nullptr || entry->parent_id != agent || IsOver(*entry, now)) return nullptr;
  return entry;
}

std::vector<SpiffeId> Registry::AgentsConcerned(const Entry& entry) const {
  const State& state = *state_;
  const SpiffeId server = ServerId(state.trust_domain);
  std::unordered_set<SpiffeId> agents;
  std::unordered_set<SpiffeId> seen;
  std::vector<SpiffeId> parents;
  const std::shared_lock lock(state.memory_mutex);
  // Goes from an entry to what stands over it: nodes by selectors under the server, else its
  // parent.
  const auto climb = [&](const Entry& from) {
    if (from.parent_id != server) {
      if (seen.insert(from.parent_id).second) parents.push_back(from.parent_id);
    } else if (!from.selectors.empty()) {
      state.nodes.VisitHolding(from.selectors,
                               [&](const NodePtr& node) { agents.insert(node->id); });
    }
  };
  climb(entry);
  while (!parents.empty()) {
    const SpiffeId parent = std::move(parents.back());
    parents.pop_back();
    if (state.nodes.Find(parent) != nullptr) agents.insert(parent);
    state.entries.VisitWithSpiffeId(parent, [&](const EntryPtr& over) { climb(*over); });
  }
  std::vector<SpiffeId> sorted(agents.begin(), agents.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace signet::identity
