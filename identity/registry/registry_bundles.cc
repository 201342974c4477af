#include <algorithm>
#include <utility>

#include "base/check.h"
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

Result<BundlePtr> Registry::ChangeOwnBundle(const std::function<Status(Bundle&)>& change,
                                            const Actor& by) {
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
  SIGNET_RETURN_IF_ERROR(state.Publish(published, by));
  return published.bundles_put.front();
}

Result<BundlePtr> Registry::ChangeFederatedBundle(
    const TrustDomain& trust_domain, const std::function<Status(Bundle&, bool)>& change,
    const Actor& by) {
  State& state = *state_;
  CHECK_TRUE(trust_domain != state.trust_domain);
  const std::lock_guard changing(state.change_mutex);
  const auto found = state.bundles.find(trust_domain);
  const BundlePtr current = found == state.bundles.end() ? nullptr : found->second;
  Bundle next = current == nullptr ? Bundle() : *current;
  SIGNET_RETURN_IF_ERROR(change(next, current != nullptr));
  next.trust_domain = trust_domain;
  if (current != nullptr && next == *current) return current;
  Change published;
  published.bundles_put.push_back(std::make_shared<const Bundle>(std::move(next)));
  SIGNET_RETURN_IF_ERROR(state.Publish(published, by));
  return published.bundles_put.front();
}

Status Registry::RemoveFederatedBundle(const TrustDomain& trust_domain, BundleRemoval removal,
                                       const Actor& by) {
  State& state = *state_;
  CHECK_TRUE(trust_domain != state.trust_domain);
  const std::lock_guard changing(state.change_mutex);
  if (!state.bundles.contains(trust_domain)) return Fail(Code::kNotFound, kFederatedBundleUnknown);
  Change change;
  change.bundles_removed.push_back(trust_domain);
  std::vector<EntryPtr> federating;
  state.entries.Visit({}, 0, [&](const EntryTable::Row& row) {
    const auto& domains = row.second->federates_with;
    if (std::ranges::find(domains, trust_domain) != domains.end()) federating.push_back(row.second);
    return true;
  });
  if (removal == BundleRemoval::kRestrict && !federating.empty()) {
    return Fail(Code::kFailedPrecondition, kBundleInUse,
                std::to_string(federating.size()) + " registration entries");
  }
  for (const EntryPtr& entry : federating) {
    if (removal == BundleRemoval::kDelete) {
      change.entries_removed.push_back(entry);
      continue;
    }
    Entry next = *entry;
    std::erase(next.federates_with, trust_domain);
    change.entries_put.push_back(std::make_shared<const Entry>(std::move(next)));
  }
  return state.Publish(change, by);
}

Result<Page<BundlePtr>> Registry::ListFederatedBundles(std::size_t page_size,
                                                       const std::string& page_token) const {
  const State& state = *state_;
  std::uint64_t last = 0;
  if (page_size != 0 && !page_token.empty()) {
    SIGNET_TRY(last, state.page_tokens.Parse(Listing::kBundles, page_token));
  }
  Page<BundlePtr> page;
  std::size_t taken = 0;
  const std::shared_lock lock(state.memory_mutex);
  for (auto at = state.bundle_order.upper_bound(last); at != state.bundle_order.end(); ++at) {
    if (page_size != 0 && taken == page_size) break;
    ++taken;
    last = at->first;
    if (at->second != state.trust_domain) page.items.push_back(state.bundles.at(at->second));
  }
  if (page_size != 0 && taken != 0) page.next = state.page_tokens.Make(Listing::kBundles, last);
  return page;
}

}  // namespace signet::identity
