#include <algorithm>
#include <utility>

#include "base/check.h"
#include "identity/registry/registry.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {
namespace {

void PutWithBundle(FederationRelationship relationship, std::optional<Bundle> bundle,
                   Change* change) {
  if (bundle) {
    bundle->trust_domain = relationship.trust_domain;
    change->bundles_put.push_back(std::make_shared<const Bundle>(*std::move(bundle)));
  }
  change->relationships_put.push_back(
      std::make_shared<const FederationRelationship>(std::move(relationship)));
}

}  // namespace

void Registry::State::PutRelationship(RelationshipPtr relationship) {
  for (auto& [number, held] : relationships) {
    if (held->trust_domain != relationship->trust_domain) continue;
    held = std::move(relationship);
    return;
  }
  relationships.emplace(next_relationship++, std::move(relationship));
}

void Registry::State::RemoveRelationship(const TrustDomain& removed) {
  std::erase_if(relationships,
                [&](const auto& numbered) { return numbered.second->trust_domain == removed; });
}

RelationshipPtr Registry::FindRelationship(const TrustDomain& trust_domain) const {
  const std::shared_lock lock(state_->memory_mutex);
  for (const auto& [number, relationship] : state_->relationships) {
    if (relationship->trust_domain == trust_domain) return relationship;
  }
  return nullptr;
}

Result<RelationshipPtr> Registry::CreateRelationship(FederationRelationship relationship,
                                                     std::optional<Bundle> bundle,
                                                     const Actor& by) {
  CHECK_TRUE(relationship.trust_domain != state_->trust_domain);
  const std::lock_guard changing(state_->change_mutex);
  if (FindRelationship(relationship.trust_domain) != nullptr)
    return Fail(Code::kAlreadyExists, kRelationshipExists);
  Change change;
  PutWithBundle(std::move(relationship), std::move(bundle), &change);
  SIGNET_RETURN_IF_ERROR(state_->Publish(change, by));
  return change.relationships_put.front();
}

Result<RelationshipPtr> Registry::ChangeRelationship(
    const TrustDomain& trust_domain, const std::function<void(FederationRelationship&)>& change,
    std::optional<Bundle> bundle, const Actor& by) {
  const std::lock_guard changing(state_->change_mutex);
  const RelationshipPtr current = FindRelationship(trust_domain);
  if (current == nullptr) return Fail(Code::kNotFound, kRelationshipUnknown);
  FederationRelationship next = *current;
  change(next);
  next.trust_domain = trust_domain;
  if (next == *current && !bundle) return current;
  Change published;
  PutWithBundle(std::move(next), std::move(bundle), &published);
  SIGNET_RETURN_IF_ERROR(state_->Publish(published, by));
  return published.relationships_put.front();
}

Status Registry::RemoveRelationship(const TrustDomain& trust_domain, const Actor& by) {
  const std::lock_guard changing(state_->change_mutex);
  if (FindRelationship(trust_domain) == nullptr) return Fail(Code::kNotFound, kRelationshipUnknown);
  Change change;
  change.relationships_removed.push_back(trust_domain);
  return state_->Publish(change, by);
}

Result<Page<RelationshipPtr>> Registry::ListRelationships(std::size_t page_size,
                                                          const std::string& page_token) const {
  const State& state = *state_;
  std::uint64_t last = 0;
  if (page_size != 0 && !page_token.empty()) {
    SIGNET_TRY(last, state.page_tokens.Parse(Listing::kRelationships, page_token));
  }
  Page<RelationshipPtr> page;
  const std::shared_lock lock(state.memory_mutex);
  for (auto at = state.relationships.upper_bound(last); at != state.relationships.end(); ++at) {
    if (page_size != 0 && page.items.size() == page_size) break;
    page.items.push_back(at->second);
    last = at->first;
  }
  if (page_size != 0 && !page.items.empty())
    page.next = state.page_tokens.Make(Listing::kRelationships, last);
  return page;
}

}  // namespace signet::identity
