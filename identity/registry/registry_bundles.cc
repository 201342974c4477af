#include <utility>

#include "identity/registry/registry.h"
#include "identity/registry/registry_state.h"

namespace signet::identity {

BundlePtr Registry::OwnBundle() const { return FindBundle(state_->trust_domain); }

BundlePtr Registry::FindBundle(const TrustDomain& trust_domain) const {
  const std::shared_lock lock(state_->memory_mutex);
  const auto found = state_->bundles.find(trust_domain);
  return found == state_->bundles.end() ? nullptr : found->second;
}

std::vector<BundlePtr> Registry::FederatedBundles() const {
  std::vector<BundlePtr> bundles;
  const std::shared_lock lock(state_->memory_mutex);
  for (const auto& [trust_domain, bundle] : state_->bundles) {
    if (trust_domain != state_->trust_domain) bundles.push_back(bundle);
  }
  return bundles;
}

Result<BundlePtr> Registry::ChangeOwnBundle(const std::function<Status(Bundle&)>& change) {
  State& state = *state_;
  const std::lock_guard changing(state.change_mutex);
  const BundlePtr current = state.bundles.at(state.trust_domain);
  Bundle next = *current;
  SIGNET_RETURN_IF_ERROR(change(next));
  next.trust_domain = state.trust_domain;
  next.sequence_number = current->sequence_number;
  if (next == *current) return current;
  ++next.sequence_number;
  Change published;
  published.bundles_put.push_back(std::make_shared<const Bundle>(std::move(next)));
  SIGNET_RETURN_IF_ERROR(state.Publish(published));
  return published.bundles_put.front();
}

}  // namespace signet::identity
