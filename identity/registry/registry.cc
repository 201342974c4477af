#include "identity/registry/registry.h"

#include <utility>

#include "identity/registry/change_records.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {
namespace {

Status Write(Transaction& transaction, const Change& change) {
  for (const EntryPtr& entry : change.entries_removed) {
    SIGNET_RETURN_IF_ERROR(transaction.entries().Remove(entry->id));
  }
  for (const EntryPtr& entry : change.entries_put)
    SIGNET_RETURN_IF_ERROR(transaction.entries().Put(*entry));
  for (const NodePtr& node : change.nodes_removed)
    SIGNET_RETURN_IF_ERROR(transaction.nodes().Remove(node->id));
  for (const NodePtr& node : change.nodes_put)
    SIGNET_RETURN_IF_ERROR(transaction.nodes().Put(*node));
  for (const TrustDomain& removed : change.bundles_removed) {
    SIGNET_RETURN_IF_ERROR(transaction.bundles().Remove(removed));
  }
  for (const BundlePtr& bundle : change.bundles_put)
    SIGNET_RETURN_IF_ERROR(transaction.bundles().Put(*bundle));
  for (const TrustDomain& removed : change.relationships_removed)
    SIGNET_RETURN_IF_ERROR(transaction.federation().Remove(removed));
  for (const RelationshipPtr& relationship : change.relationships_put)
    SIGNET_RETURN_IF_ERROR(transaction.federation().Put(*relationship));
  for (const DenialPtr& denial : change.denials_removed)
    SIGNET_RETURN_IF_ERROR(transaction.denials().Remove(denial->id));
  for (const DenialPtr& denial : change.denials_put)
    SIGNET_RETURN_IF_ERROR(transaction.denials().Put(*denial));
  return {};
}

}  // namespace

Status Registry::State::Load() {
  SIGNET_TRY(revision, store.LoadRevision());
  SIGNET_TRY(std::vector<Entry> loaded_entries, store.LoadEntries());
  entries.Reserve(loaded_entries.size());
  for (Entry& entry : loaded_entries) entries.Put(std::make_shared<const Entry>(std::move(entry)));
  SIGNET_TRY(std::vector<Node> loaded_nodes, store.LoadNodes());
  for (Node& node : loaded_nodes) nodes.Put(std::make_shared<const Node>(std::move(node)));
  SIGNET_TRY(std::vector<Bundle> loaded_bundles, store.LoadBundles());
  for (Bundle& bundle : loaded_bundles)
    PutBundle(std::make_shared<const Bundle>(std::move(bundle)));
  SIGNET_TRY(std::vector<FederationRelationship> loaded, store.LoadRelationships());
  for (FederationRelationship& relationship : loaded)
    PutRelationship(std::make_shared<const FederationRelationship>(std::move(relationship)));
  SIGNET_TRY(std::vector<Denial> loaded_denials, store.LoadDenials());
  std::vector<DenialPtr> known;
  for (Denial& denial : loaded_denials)
    known.push_back(std::make_shared<const Denial>(std::move(denial)));
  denials = DenialSet::Create(std::move(known));
  if (bundles.contains(trust_domain)) return {};
  const std::lock_guard changing(change_mutex);
  Bundle own;
  own.trust_domain = trust_domain;
  Change change;
  change.bundles_put.push_back(std::make_shared<const Bundle>(std::move(own)));
  return Publish(change, Actor());
}

Status Registry::State::Publish(Change& change, const Actor& by,
                                const std::function<Status(Transaction&)>& first) {
  auto committed = store.Commit([&](Transaction& transaction) -> Status {
    if (first) SIGNET_RETURN_IF_ERROR(first(transaction));
    SIGNET_RETURN_IF_ERROR(Write(transaction, change));
    const std::vector<AuditRecord> records = RecordsOf(change, by);
    return records.empty() ? Status() : store.AppendRecords(records);
  });
  if (!committed) return Fail(std::move(committed).error());
  change.revision = *committed;
  Apply(change);
  Notify(change);
  return {};
}

void Registry::State::PutBundle(BundlePtr bundle) {
  if (!bundles.contains(bundle->trust_domain))
    bundle_order.emplace(next_bundle++, bundle->trust_domain);
  bundles[bundle->trust_domain] = std::move(bundle);
}

void Registry::State::RemoveBundle(const TrustDomain& removed) {
  bundles.erase(removed);
  std::erase_if(bundle_order, [&](const auto& numbered) { return numbered.second == removed; });
}

void Registry::State::Apply(const Change& change) {
  const std::unique_lock lock(memory_mutex);
  for (const EntryPtr& entry : change.entries_removed) entries.Remove(entry->id);
  for (const EntryPtr& entry : change.entries_put) entries.Put(entry);
  for (const NodePtr& node : change.nodes_removed) nodes.Remove(node->id);
  for (const NodePtr& node : change.nodes_put) nodes.Put(node);
  for (const TrustDomain& removed : change.bundles_removed) RemoveBundle(removed);
  for (const BundlePtr& bundle : change.bundles_put) PutBundle(bundle);
  for (const TrustDomain& removed : change.relationships_removed) RemoveRelationship(removed);
  for (const RelationshipPtr& put : change.relationships_put) PutRelationship(put);
  ApplyDenials(change);
  revision = change.revision;
}

std::vector<AuditRecord> Registry::State::RecordsOf(const Change& change, const Actor& by) const {
  ChangeRecords records(by, Now());
  for (const AuditRecord& also : change.also) records.Add(also);
  for (const EntryPtr& entry : change.entries_removed) records.EntryRemoved(*entry);
  for (const EntryPtr& entry : change.entries_put)
    records.EntryPut(*entry, entries.Find(entry->id) == nullptr);
  for (const NodePtr& node : change.nodes_removed) records.NodeRemoved(*node);
  for (const NodePtr& node : change.nodes_put) records.NodePut(*node, nodes.Find(node->id).get());
  for (const TrustDomain& removed : change.relationships_removed)
    records.RelationshipRemoved(removed);
  for (const RelationshipPtr& relationship : change.relationships_put)
    records.RelationshipPut(*relationship);
  for (const TrustDomain& removed : change.bundles_removed) records.BundleRemoved(removed);
  for (const BundlePtr& bundle : change.bundles_put) {
    const auto before = bundles.find(bundle->trust_domain);
    records.BundlePut(*bundle, before == bundles.end() ? nullptr : before->second.get());
  }
  for (const DenialPtr& denial : change.denials_removed) records.DenialRemoved(*denial);
  for (const DenialPtr& denial : change.denials_put) records.DenialPut(*denial);
  return std::move(records).Take();
}

void Registry::State::Notify(const Change& change) {
  const std::lock_guard lock(observers_mutex);
  for (const auto& [id, observer] : observers) observer(change);
}

Registry::Registry(std::unique_ptr<State> state) : state_(std::move(state)) {}
Registry::~Registry() = default;

Result<std::unique_ptr<Registry>> Registry::Load(Store& store, const TrustDomain& trust_domain,
                                                 const Clock& clock, Random& random) {
  auto state = std::make_unique<State>(store, trust_domain, clock, random);
  SIGNET_RETURN_IF_ERROR(state->Load());
  return std::unique_ptr<Registry>(new Registry(std::move(state)));
}

const TrustDomain& Registry::trust_domain() const { return state_->trust_domain; }

Revision Registry::revision() const {
  const std::shared_lock lock(state_->memory_mutex);
  return state_->revision;
}

std::uint64_t Registry::AddObserver(std::function<void(const Change&)> observer) {
  const std::lock_guard lock(state_->observers_mutex);
  state_->observers.emplace_back(state_->next_observer, std::move(observer));
  return state_->next_observer++;
}

void Registry::RemoveObserver(std::uint64_t id) {
  const std::lock_guard lock(state_->observers_mutex);
  std::erase_if(state_->observers, [&](const auto& observer) { return observer.first == id; });
}

}  // namespace signet::identity
