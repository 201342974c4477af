#include <span>
#include <utility>

#include "identity/registry/entry_batch.h"
#include "identity/registry/registry.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {

std::vector<EntryOutcome> Registry::State::PublishEntries(const EntryBatch& batch, const Actor& by,
                                                          std::vector<EntryOutcome> outcomes) {
  if (batch.empty()) return outcomes;
  Change change = batch.ToChange();
  const Status published = Publish(change, by);
  if (published) return outcomes;
  for (EntryOutcome& outcome : outcomes) {
    if (outcome.status || batch.Made(outcome.entry)) outcome = {Fail(published.error()), nullptr};
  }
  return outcomes;
}

std::vector<EntryOutcome> Registry::CreateEntries(std::vector<Entry> entries, const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  EntryBatch batch(state.entries, state.bundles, state.trust_domain, state.Now(), state.random);
  std::vector<EntryOutcome> outcomes;
  outcomes.reserve(entries.size());
  for (Entry& entry : entries) outcomes.push_back(batch.Create(std::move(entry)));
  return state.PublishEntries(batch, by, std::move(outcomes));
}

std::vector<EntryOutcome> Registry::UpdateEntries(std::vector<EntryUpdate> updates,
                                                  const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  EntryBatch batch(state.entries, state.bundles, state.trust_domain, state.Now(), state.random);
  std::vector<EntryOutcome> outcomes;
  outcomes.reserve(updates.size());
  for (EntryUpdate& update : updates) outcomes.push_back(batch.Update(std::move(update)));
  return state.PublishEntries(batch, by, std::move(outcomes));
}

std::vector<Status> Registry::DeleteEntries(std::span<const std::string> ids, const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  EntryBatch batch(state.entries, state.bundles, state.trust_domain, state.Now(), state.random);
  std::vector<EntryOutcome> outcomes;
  for (const std::string& id : ids) outcomes.push_back({batch.Delete(id), nullptr});
  std::vector<Status> statuses;
  for (EntryOutcome& outcome : state.PublishEntries(batch, by, std::move(outcomes))) {
    statuses.push_back(std::move(outcome.status));
  }
  return statuses;
}

Result<std::size_t> Registry::PruneExpiredEntries() {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  const std::int64_t now = state.Now();
  Change change;
  state.entries.Visit({}, 0, [&](const EntryTable::Row& row) {
    const EntryPtr& entry = row.second;
    if (IsOver(*entry, now)) change.entries_removed.push_back(entry);
    return true;
  });
  if (change.entries_removed.empty()) return 0;
  SIGNET_RETURN_IF_ERROR(state.Publish(change, Actor()));
  return change.entries_removed.size();
}

EntryPtr Registry::FindEntry(const std::string& id) const {
  const std::shared_lock lock(state_->memory_mutex);
  return state_->entries.Find(id);
}

Result<Page<EntryPtr>> Registry::ListEntries(const EntryFilter& filter, std::size_t page_size,
                                             const std::string& page_token) const {
  const State& state = *state_;
  std::uint64_t last = 0;
  // Without a size the whole list is asked for, whatever the token.
  if (page_size != 0 && !page_token.empty()) {
    SIGNET_TRY(last, state.page_tokens.Parse(Listing::kEntries, page_token));
  }
  Page<EntryPtr> page;
  const std::shared_lock lock(state.memory_mutex);
  state.entries.Visit(filter, last, [&](const EntryTable::Row& row) {
    page.items.push_back(row.second);
    last = row.first;
    return page_size == 0 || page.items.size() < page_size;
  });
  if (page_size != 0 && !page.items.empty())
    page.next = state.page_tokens.Make(Listing::kEntries, last);
  return page;
}

std::size_t Registry::CountEntries(const EntryFilter& filter) const {
  std::size_t count = 0;
  const std::shared_lock lock(state_->memory_mutex);
  state_->entries.Visit(filter, 0, [&](const EntryTable::Row&) {
    ++count;
    return true;
  });
  return count;
}

EntryPtr Registry::State::FindLiveEntry(const SpiffeId& id, bool Entry::* right) const {
  const std::int64_t now = Now();
  EntryPtr found;
  const std::shared_lock lock(memory_mutex);
  entries.VisitWithSpiffeId(id, [&](const EntryPtr& entry) {
    if (found == nullptr && (*entry).*right && !IsOver(*entry, now)) found = entry;
  });
  return found;
}

bool Registry::HasAdminEntry(const SpiffeId& id) const {
  return state_->FindLiveEntry(id, &Entry::admin) != nullptr;
}

bool Registry::HasDownstreamEntry(const SpiffeId& id) const {
  return FindDownstreamEntry(id) != nullptr;
}

EntryPtr Registry::FindDownstreamEntry(const SpiffeId& id) const {
  return state_->FindLiveEntry(id, &Entry::downstream);
}

}  // namespace signet::identity
