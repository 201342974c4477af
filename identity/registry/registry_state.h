// What the registry's parts share: memory, the store, and the one way a change is made. Private to
// registry*.cc.
//
// Locks, in the order they are taken: change_mutex (one change at a time, held from its checks to
// the last observer) before memory_mutex (shared for reading, alone for applying), before
// joins_mutex, and before observers_mutex.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "identity/registry/entry_batch.h"
#include "identity/registry/entry_table.h"
#include "identity/registry/node_table.h"
#include "identity/registry/page_token.h"
#include "identity/registry/registry.h"

namespace signet::identity {

// Its time is over: it grants nothing from then on, also while it waits to be pruned.
inline bool IsOver(const Entry& entry, std::int64_t now) {
  return entry.expires_at != 0 && entry.expires_at < now;
}

struct Registry::State {
  State(Store& the_store, TrustDomain the_trust_domain, const Clock& the_clock, Random& the_random)
      : store(the_store),
        trust_domain(std::move(the_trust_domain)),
        clock(the_clock),
        random(the_random),
        page_tokens(the_random),
        entries(ServerId(trust_domain)) {}

  // Fills memory from the store.
  Status Load();
  // With change_mutex held: makes `change` durable, then visible, then known to the observers.
  // `first` runs in the transaction before `change` is written, and may still fill it. What is
  // changed is recorded in the log, in the same transaction, as done by `by`.
  Status Publish(Change& change, const Actor& by,
                 const std::function<Status(Transaction&)>& first = {});
  // The same for what `batch` accepted; on failure its elements carry the error.
  std::vector<EntryOutcome> PublishEntries(const EntryBatch& batch, const Actor& by,
                                           std::vector<EntryOutcome> outcomes);
  std::int64_t Now() const { return UnixSeconds(clock.Now()); }
  // An entry of `id` that has not ended and has this right; null: none.
  EntryPtr FindLiveEntry(const SpiffeId& id, bool Entry::* right) const;
  // With change_mutex held: an agent that is denied gets no serial, whoever attests it.
  Status CheckNodeNotDenied(const Node& node) const;
  // With change_mutex held, as the two below: what stands for `wanted` once `change` is published.
  DenialPtr PutDenial(Denial wanted, Change* change);
  Status DenyIssuedThrough(const Denial& agent, const Actor& by, std::vector<DenialPtr>* made);
  // When the certificate with this serial number ends; 0: the log does not know it.
  Result<std::int64_t> EndOfSerial(const std::string& digits);

  Store& store;
  const TrustDomain trust_domain;
  const Clock& clock;
  Random& random;
  const PageTokens page_tokens;

  std::mutex change_mutex;

  // One that waits to be attested with a token. `outcome` absent: not yet decided; guarded by
  // change_mutex, as `joins` is by its own.
  struct Join {
    const std::string& token_digest;
    const std::function<Result<Node>(const JoinToken&)>& make;
    const Actor& by;
    std::optional<Result<NodePtr>> outcome;
    Status Decide(Transaction& transaction, State& state, Change* change);
  };
  // With change_mutex held: `own` and what waits of the same actor's, in one transaction.
  void AttestTogether(Join& own);
  std::mutex joins_mutex;
  std::vector<Join*> joins;

  mutable std::shared_mutex memory_mutex;
  EntryTable entries;
  NodeTable nodes;
  std::map<TrustDomain, BundlePtr> bundles;
  std::map<std::uint64_t, TrustDomain> bundle_order;  // numbered as they were created
  std::uint64_t next_bundle = 1;
  // By the number of their creation; there are few.
  std::map<std::uint64_t, RelationshipPtr> relationships;
  std::uint64_t next_relationship = 1;
  DenialSetPtr denials = DenialSet::Create({});
  Revision revision = 0;

  std::mutex observers_mutex;
  std::vector<std::pair<std::uint64_t, std::function<void(const Change&)>>> observers;
  std::uint64_t next_observer = 1;

 private:
  void PutBundle(BundlePtr bundle);
  void RemoveBundle(const TrustDomain& removed);
  void PutRelationship(RelationshipPtr relationship);
  void RemoveRelationship(const TrustDomain& removed);
  void ApplyDenials(const Change& change);
  void Apply(const Change& change);
  void Notify(const Change& change);
  std::vector<AuditRecord> RecordsOf(const Change& change, const Actor& by) const;
};

}  // namespace signet::identity
