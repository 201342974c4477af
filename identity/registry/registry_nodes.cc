#include <optional>
#include <utility>

#include "identity/registry/registry.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {
namespace {

// Of a token's digest, enough to find it again.
constexpr std::size_t kDigestShown = 16;
// Attestations in one transaction.
constexpr std::size_t kMostTogether = 64;

// The entry that gives one agent an alias (made with its join token) means nothing without it: its
// only selector is the agent's own ID.
bool TiesAliasTo(const Entry& entry, const SpiffeId& agent) {
  return entry.selectors.size() == 1 &&
         entry.selectors[0] == Selector{"spiffe_id", agent.ToString()};
}

}  // namespace

NodePtr Registry::FindNode(const SpiffeId& id) const {
  const std::shared_lock lock(state_->memory_mutex);
  return state_->nodes.Find(id);
}

Result<Page<NodePtr>> Registry::ListNodes(const NodeFilter& filter, std::size_t page_size,
                                          const std::string& page_token) const {
  const State& state = *state_;
  std::uint64_t last = 0;
  if (page_size != 0 && !page_token.empty()) {
    SIGNET_TRY(last, state.page_tokens.Parse(Listing::kNodes, page_token));
  }
  Page<NodePtr> page;
  const std::shared_lock lock(state.memory_mutex);
  state.nodes.Visit(filter, last, [&](const NodeTable::Row& row) {
    page.items.push_back(row.second);
    last = row.first;
    return page_size == 0 || page.items.size() < page_size;
  });
  if (page_size != 0 && !page.items.empty())
    page.next = state.page_tokens.Make(Listing::kNodes, last);
  return page;
}

std::size_t Registry::CountNodes(const NodeFilter& filter) const {
  std::size_t count = 0;
  const std::shared_lock lock(state_->memory_mutex);
  state_->nodes.Visit(filter, 0, [&](const NodeTable::Row&) {
    ++count;
    return true;
  });
  return count;
}

Result<NodePtr> Registry::ChangeNode(const SpiffeId& id, const std::function<Status(Node&)>& change,
                                     const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  const NodePtr current = state.nodes.Find(id);
  Node next;
  if (current != nullptr) next = *current;
  next.id = id;
  SIGNET_RETURN_IF_ERROR(change(next));
  CHECK_TRUE(next.id == id);
  if (current != nullptr && next == *current) return current;
  SIGNET_RETURN_IF_ERROR(state.CheckNodeNotDenied(next));
  Change published;
  published.nodes_put.push_back(std::make_shared<const Node>(std::move(next)));
  SIGNET_RETURN_IF_ERROR(state.Publish(published, by));
  return published.nodes_put.front();
}

// Whoever comes while a change is being made durable waits for the lock; the first to get it does
// the work of all who wait in one transaction, so that they share one sync of the disk.
Result<NodePtr> Registry::AttestWithToken(const std::string& token_digest,
                                          const std::function<Result<Node>(const JoinToken&)>& make,
                                          const Actor& by) {
  State& state = *state_;
  State::Join own{.token_digest = token_digest, .make = make, .by = by, .outcome = std::nullopt};
  {
    const std::lock_guard lock(state.joins_mutex);
    state.joins.push_back(&own);
  }
  const std::lock_guard changing(state.change_mutex);
  if (!own.outcome) state.AttestTogether(own);
  return *std::move(own.outcome);
}

void Registry::State::AttestTogether(Join& own) {
  std::vector<Join*> group{&own};
  {
    const std::lock_guard lock(joins_mutex);
    std::erase(joins, &own);
    std::erase_if(joins, [&](Join* join) {
      if (group.size() >= kMostTogether || join->by.name != own.by.name) return false;
      group.push_back(join);
      return true;
    });
  }
  Change change;
  const Status published = Publish(change, own.by, [&](Transaction& transaction) -> Status {
    Status last;
    bool spent = false;
    for (Join* join : group) {
      last = join->Decide(transaction, *this, &change);
      spent = spent || last;
      if (!last && last.error().reason != kTokenUnknown && last.error().reason != kTokenExpired)
        return last;
    }
    return spent ? Status() : last;  // nothing was changed: no transaction
  });
  for (Join* join : group) {
    const bool refused = join->outcome && !*join->outcome;
    if (!published && !refused) join->outcome = Result<NodePtr>(Fail(published.error()));
  }
}

// Fails when the token cannot be spent. Once it is, the outcome is there, also when it is a
// refusal.
Status Registry::State::Join::Decide(Transaction& transaction, State& state, Change* change) {
  auto token = transaction.tokens().Take(token_digest);
  if (token && token->expires_at < state.Now()) {
    SIGNET_RETURN_IF_ERROR(transaction.tokens().Insert(*token));  // it is not used, it is pruned
    token = Fail(Code::kInvalidArgument, kTokenExpired);
  }
  if (!token) {
    outcome = Result<NodePtr>(Fail(token.error()));
    return Fail(token.error());
  }
  Result<Node> made = make(*token);
  if (made) {
    if (Status denied = state.CheckNodeNotDenied(*made); !denied)
      made = Fail(std::move(denied).error());
  }
  if (!made) {
    outcome = Result<NodePtr>(Fail(std::move(made).error()));
    return {};
  }
  change->nodes_put.push_back(std::make_shared<const Node>(*std::move(made)));
  outcome = Result<NodePtr>(change->nodes_put.back());
  return {};
}

Status Registry::BanNode(const SpiffeId& id, const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  const NodePtr current = state.nodes.Find(id);
  if (current == nullptr) return Fail(Code::kNotFound, kAgentNotFound);
  Node banned = *current;
  banned.serial.clear();
  banned.new_serial.clear();
  banned.new_serial_expires_at = 0;
  if (banned == *current) return {};
  Change change;
  change.nodes_put.push_back(std::make_shared<const Node>(std::move(banned)));
  return state.Publish(change, by);
}

Status Registry::DeleteNode(const SpiffeId& id, const Actor& by) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  const NodePtr current = state.nodes.Find(id);
  if (current == nullptr) return Fail(Code::kNotFound, kAgentNotFound);
  Change change;
  change.nodes_removed.push_back(current);
  state.entries.VisitChildren(id, [&](const EntryPtr& entry) {
    if (TiesAliasTo(*entry, id)) change.entries_removed.push_back(entry);
  });
  return state.Publish(change, by);
}

Status Registry::AddJoinToken(const JoinToken& token, const Actor& by) {
  const std::lock_guard changing(state_->change_mutex);
  Change change;
  AuditRecord created;
  created.event = event::kTokenCreated;
  created.subject = token.agent_path;
  created.object = token.digest.substr(0, kDigestShown);
  created.not_after = token.expires_at;
  change.also.push_back(std::move(created));
  return state_->Publish(
      change, by, [&](Transaction& transaction) { return transaction.tokens().Insert(token); });
}

Status Registry::PruneExpiredTokens() {
  const std::lock_guard changing(state_->change_mutex);
  const std::int64_t now = state_->Now();
  Change change;
  return state_->Publish(change, Actor(), [&](Transaction& transaction) {
    return transaction.tokens().RemoveExpired(now);
  });
}

}  // namespace signet::identity
