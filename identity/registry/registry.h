// The trust domain's live state: entries, attested nodes and bundles, in memory for reading and
// durable before anybody sees a change. Every change carries the next revision; observers hear of
// it in revision order.
//
// Whoever changes something says as whom: each change is recorded in the log, in its transaction.
//
// Threads: safe from any thread. Reads take a shared lock for microseconds and answer shared
// immutable values; changes are serialised.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "identity/registry/owned_entries.h"
#include "identity/store/store.h"

namespace signet::identity {

inline constexpr Reason kFederatedBundleUnknown{"unable to find federated bundle"};
inline constexpr Reason kBundleInUse{"entries federate with the bundle"};
inline constexpr Reason kTokenExpired{"join token expired"};
inline constexpr Reason kDenialUnknown{"no such denial"};
inline constexpr Reason kTooManyDenials{"too many denials"};

using NodePtr = std::shared_ptr<const Node>;
using BundlePtr = std::shared_ptr<const Bundle>;
using RelationshipPtr = std::shared_ptr<const FederationRelationship>;

// What one revision changed.
struct Change {
  Revision revision = 0;
  std::vector<EntryPtr> entries_put;
  std::vector<EntryPtr> entries_removed;  // as they were
  std::vector<NodePtr> nodes_put;
  std::vector<NodePtr> nodes_removed;
  std::vector<BundlePtr> bundles_put;
  std::vector<TrustDomain> bundles_removed;
  std::vector<RelationshipPtr> relationships_put;
  std::vector<TrustDomain> relationships_removed;
  std::vector<DenialPtr> denials_put;
  std::vector<DenialPtr> denials_removed;
  // What the log says beyond the above; actor and time are filled in.
  std::vector<AuditRecord> also;
};

// One page of a listing in order of creation. `next` asks for what comes after it; as in SPIRE it
// is there whenever a page of limited size holds anything, so the last page is the empty one.
template <class T>
struct Page {
  std::vector<T> items;
  std::string next;
};

// The outcome of one element of a batch. On ALREADY_EXISTS `entry` is the similar one that is
// there, or null when only the id is taken or the element itself says a selector or DNS name twice.
struct EntryOutcome {
  Status status;
  EntryPtr entry;
};

struct EntryUpdate {
  Entry entry;     // .id says which
  EntryMask mask;  // fields taken from `entry`
};

// What becomes of the entries that federate with a bundle that is removed: they keep it from being
// removed, are removed with it, or federate with it no longer. The last leaves their revision
// numbers alone, as SPIRE does.
enum class BundleRemoval { kRestrict, kDelete, kDissociate };

class Registry {
 public:
  // Loads everything. Fails as the store does.
  static Result<std::unique_ptr<Registry>> Load(Store& store, const TrustDomain& trust_domain,
                                                const Clock& clock, Random& random);
  ~Registry();

  const TrustDomain& trust_domain() const;
  Revision revision() const;

  // Entries. Batches answer in the order of the request; each element stands or falls alone.
  // Uniqueness: (spiffe_id, parent_id, selectors); a taken id is ALREADY_EXISTS too.
  std::vector<EntryOutcome> CreateEntries(std::vector<Entry> entries, const Actor& by = {});
  std::vector<EntryOutcome> UpdateEntries(std::vector<EntryUpdate> updates, const Actor& by = {});
  std::vector<Status> DeleteEntries(std::span<const std::string> ids, const Actor& by = {});
  // Makes the owner's entries what `set` says, in one change with one revision; none when they are
  // so already, a plan was asked for, or anything in the set is wrong or taken. Fails with
  // kOwnerMalformed, or as the store does, and then nothing is changed.
  Result<ApplyOutcome> ApplyEntries(OwnedSet set, const Actor& by = {});
  EntryPtr FindEntry(const std::string& id) const;  // null: none
  // `page_size` 0: all, whatever the token. Fails with kPageTokenMalformed (INVALID_ARGUMENT) on a
  // token that is none of ours or from before a restart.
  Result<Page<EntryPtr>> ListEntries(const EntryFilter& filter, std::size_t page_size,
                                     const std::string& page_token) const;
  std::size_t CountEntries(const EntryFilter& filter) const;
  // The entries an agent may hold: children of itself, of its aliases (node entries whose selectors
  // its own include), and of those, recursively. What has expired counts no more, also before it is
  // pruned.
  std::vector<EntryPtr> AuthorizedEntries(const SpiffeId& agent) const;
  // The entry if it is a child of the agent itself, and so among the former: told without a walk.
  // Null says nothing about the others.
  EntryPtr FindOwnChild(const SpiffeId& agent, const std::string& entry_id) const;
  // The attested nodes that `entry` concerns, sorted: the reverse of AuthorizedEntries(). For a
  // node entry, those whose selectors include its own. The entry itself need not be registered (any
  // more).
  std::vector<SpiffeId> AgentsConcerned(const Entry& entry) const;
  // Whether an entry with admin or downstream set is there for a caller's ID. An expired one does
  // not count (in SPIRE it does until it is pruned).
  bool HasAdminEntry(const SpiffeId& id) const;
  bool HasDownstreamEntry(const SpiffeId& id) const;
  EntryPtr FindDownstreamEntry(const SpiffeId& id) const;  // null: none
  // Removes entries whose expires_at has passed; answers how many.
  Result<std::size_t> PruneExpiredEntries();

  // Nodes.
  NodePtr FindNode(const SpiffeId& id) const;
  Result<Page<NodePtr>> ListNodes(const NodeFilter& filter, std::size_t page_size,
                                  const std::string& page_token) const;
  std::size_t CountNodes(const NodeFilter& filter) const;
  // Runs `change` on the current node (or a new one with this id) under the change lock and stores
  // the result; when `change` fails or changes nothing, nothing is stored.
  Result<NodePtr> ChangeNode(const SpiffeId& id, const std::function<Status(Node&)>& change,
                             const Actor& by = {});
  // Takes the join token and stores the node that `make` answers in one transaction. Fails, and
  // changes nothing, with kTokenUnknown (NOT_FOUND; also when it was used before) or kTokenExpired
  // (INVALID_ARGUMENT); with make()'s error, and then the token is spent, as in SPIRE. `make` runs
  // under the change lock, on the store's thread: it may read the registry and append issuances,
  // which join the transaction; it must not change the registry.
  Result<NodePtr> AttestWithToken(const std::string& token_digest,
                                  const std::function<Result<Node>(const JoinToken&)>& make,
                                  const Actor& by = {});
  // Takes away both serials.
  Status BanNode(const SpiffeId& id, const Actor& by = {});  // NOT_FOUND when unknown
  // Entries stay, except those that tie an alias to this one agent (parent: the agent; only
  // selector: spiffe_id:<the agent>). NOT_FOUND when unknown.
  Status DeleteNode(const SpiffeId& id, const Actor& by = {});

  // Join tokens.
  Status AddJoinToken(const JoinToken& token, const Actor& by = {});
  Status PruneExpiredTokens();

  // Bundles: the own one, and federated ones by domain. ChangeOwnBundle raises sequence_number when
  // `change` changed anything.
  BundlePtr OwnBundle() const;
  BundlePtr FindBundle(const TrustDomain& trust_domain) const;
  std::vector<BundlePtr> FederatedBundles() const;
  Result<BundlePtr> ChangeOwnBundle(const std::function<Status(Bundle&)>& change,
                                    const Actor& by = {});
  // Runs `change` on the bundle of another trust domain, or on an empty one when `exists` is false,
  // and stores the result; when `change` fails, nothing is stored.
  Result<BundlePtr> ChangeFederatedBundle(
      const TrustDomain& trust_domain,
      const std::function<Status(Bundle& bundle, bool exists)>& change, const Actor& by = {});
  // NOT_FOUND (kFederatedBundleUnknown) when there is none; kBundleInUse (FAILED_PRECONDITION) when
  // entries federate with it and `removal` is kRestrict.
  Status RemoveFederatedBundle(const TrustDomain& trust_domain, BundleRemoval removal,
                               const Actor& by = {});
  // In order of creation. As in SPIRE the own bundle takes a place of the page it falls on, but is
  // left out. Tokens as ListEntries() has them.
  Result<Page<BundlePtr>> ListFederatedBundles(std::size_t page_size,
                                               const std::string& page_token) const;

  // Federation relationships of other trust domains than the own. A bundle that comes with one is
  // stored with it, in place of the one that is there. Create fails with kRelationshipExists
  // (ALREADY_EXISTS); the others with kRelationshipUnknown (NOT_FOUND).
  Result<RelationshipPtr> CreateRelationship(FederationRelationship relationship,
                                             std::optional<Bundle> bundle, const Actor& by = {});
  Result<RelationshipPtr> ChangeRelationship(
      const TrustDomain& trust_domain, const std::function<void(FederationRelationship&)>& change,
      std::optional<Bundle> bundle, const Actor& by = {});
  // The bundle stays.
  Status RemoveRelationship(const TrustDomain& trust_domain, const Actor& by = {});
  RelationshipPtr FindRelationship(const TrustDomain& trust_domain) const;  // null: none
  // In order of creation. Sizes and tokens as ListEntries() has them.
  Result<Page<RelationshipPtr>> ListRelationships(std::size_t page_size,
                                                  const std::string& page_token) const;

  // Denials. The set as of the last change; never null.
  DenialSetPtr Denials() const;
  // Whether one holds now for an SVID of `id` with this serial (hex; empty: whatever serial).
  bool IsDenied(const SpiffeId& id, std::string_view serial = {}) const;
  // Makes a denial of `wanted` (kind, subject, until, reason, created_by; the rest is filled in),
  // or answers the one that is there, with the later end. Of kAgent also bans the node, if there is
  // one, and adds a denial for each X.509-SVID that was issued through it and has not ended: they
  // follow in the answer. Of kSerial with until 0: holds until the certificate ends, when the
  // log knows it. Fails with kDenialMalformed, kSpiffeIdMalformed or kTooManyDenials.
  //
  // No window: what asks for an SVID checks Denials() again when the log has its record, and
  // the log is read here when the denial stands.
  Result<std::vector<DenialPtr>> Deny(Denial wanted, const Actor& by = {});
  // NOT_FOUND (kDenialUnknown) when there is none.
  Result<DenialPtr> RemoveDenial(const std::string& id, const Actor& by = {});
  // Removes denials whose end has passed; answers how many.
  Result<std::size_t> PruneDenials(const Actor& by = {});

  // Called after each change, in revision order, on the changing thread, outside the read lock:
  // must be quick, and must not change the registry or its observers. A change may be empty
  // (tokens). Answers an id for RemoveObserver(), which returns when no call is under way.
  std::uint64_t AddObserver(std::function<void(const Change&)> observer);
  void RemoveObserver(std::uint64_t id);

 private:
  struct State;
  explicit Registry(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::identity
