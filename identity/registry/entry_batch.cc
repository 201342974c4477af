#include "identity/registry/entry_batch.h"

#include <algorithm>
#include <utility>

namespace signet::identity {
namespace {

EntryOutcome Refused(Error error) { return {.status = Fail(std::move(error)), .entry = nullptr}; }

EntryOutcome Exists(EntryPtr existing, std::string detail = {}) {
  return {.status = Fail(Code::kAlreadyExists, kEntryExists, std::move(detail)),
          .entry = std::move(existing)};
}

std::size_t Likeness(const Entry& entry) { return HashOf(entry.spiffe_id, entry.parent_id); }

bool Similar(const Entry& a, const Entry& b) {
  return a.spiffe_id == b.spiffe_id && a.parent_id == b.parent_id && a.selectors == b.selectors;
}

Entry Merge(const Entry& current, Entry wanted, const EntryMask& mask) {
  Entry next = current;
  if (mask.spiffe_id) next.spiffe_id = std::move(wanted.spiffe_id);
  if (mask.parent_id) next.parent_id = std::move(wanted.parent_id);
  if (mask.selectors) next.selectors = std::move(wanted.selectors);
  if (mask.x509_svid_ttl) next.x509_svid_ttl = wanted.x509_svid_ttl;
  if (mask.jwt_svid_ttl) next.jwt_svid_ttl = wanted.jwt_svid_ttl;
  if (mask.federates_with) next.federates_with = std::move(wanted.federates_with);
  if (mask.admin) next.admin = wanted.admin;
  if (mask.downstream) next.downstream = wanted.downstream;
  if (mask.expires_at) next.expires_at = wanted.expires_at;
  if (mask.dns_names) next.dns_names = std::move(wanted.dns_names);
  if (mask.store_svid) next.store_svid = wanted.store_svid;
  if (mask.hint) next.hint = std::move(wanted.hint);
  if (mask.additional_attributes) {
    next.disable_x509_svid_prefetch = wanted.disable_x509_svid_prefetch;
    next.jwt_svid_include_jti = wanted.jwt_svid_include_jti;
  }
  ++next.revision_number;
  return next;
}

}  // namespace

std::string NormaliseEntry(Entry& entry) {
  std::sort(entry.federates_with.begin(), entry.federates_with.end());
  entry.federates_with.erase(std::unique(entry.federates_with.begin(), entry.federates_with.end()),
                             entry.federates_with.end());
  const std::size_t stated = entry.selectors.size();
  entry.selectors = MakeSelectorSet(std::move(entry.selectors));
  if (entry.selectors.size() != stated) return "a selector is there twice";
  std::vector<std::string_view> names(entry.dns_names.begin(), entry.dns_names.end());
  std::sort(names.begin(), names.end());
  const bool repeats = std::adjacent_find(names.begin(), names.end()) != names.end();
  return repeats ? "a DNS name is there twice" : "";
}

EntryOutcome EntryBatch::Create(Entry entry) {
  const std::string repeated = NormaliseEntry(entry);
  if (Status checked = CheckEntry(entry, trust_domain_); !checked)
    return Refused(std::move(checked).error());
  if (EntryPtr existing = FindSimilar(entry); existing != nullptr)
    return Exists(std::move(existing));
  if (!repeated.empty()) return Exists(nullptr, repeated);
  if (entry.id.empty()) {
    do {
      entry.id = random_.Uuid();
    } while (Current(entry.id) != nullptr);
  } else if (Current(entry.id) != nullptr) {
    return Exists(nullptr, "the entry ID \"" + entry.id + "\" is taken");
  }
  if (Status checked = CheckFederatesWith(entry); !checked)
    return Refused(std::move(checked).error());
  entry.revision_number = 0;
  entry.created_at = now_;
  auto made = std::make_shared<const Entry>(std::move(entry));
  Put(made);
  created_.emplace(Likeness(*made), made);
  return {.status = {}, .entry = std::move(made)};
}

EntryOutcome EntryBatch::Update(EntryUpdate update) {
  Entry& wanted = update.entry;
  if (Status checked = CheckEntry(wanted, trust_domain_, update.mask); !checked) {
    return Refused(std::move(checked).error());
  }
  const EntryPtr current = Current(wanted.id);
  if (current == nullptr) return Refused({Code::kNotFound, kEntryNotFound, {}});
  Entry next = Merge(*current, std::move(wanted), update.mask);
  const std::string repeated = NormaliseEntry(next);
  if (!repeated.empty()) return Exists(nullptr, repeated);
  // As SPIRE does: only selectors that an update brings are looked at.
  Status checked = update.mask.selectors ? CheckStoreSvidSelectors(next) : Status();
  if (checked) checked = CheckFederatesWith(next);
  if (!checked) return Refused(std::move(checked).error());
  auto made = std::make_shared<const Entry>(std::move(next));
  Put(made);
  return {.status = {}, .entry = std::move(made)};
}

Status EntryBatch::Delete(const std::string& id) {
  if (id.empty()) return Fail(Code::kInvalidArgument, kEntryInvalid, "missing entry ID");
  EntryPtr current = Current(id);
  if (current == nullptr) return Fail(Code::kNotFound, kEntryNotFound);
  removed_by_id_.emplace(id, current);
  removed_.push_back(std::move(current));
  return {};
}

Change EntryBatch::ToChange() const {
  Change change;
  change.entries_put = put_;
  change.entries_removed = removed_;
  return change;
}

bool EntryBatch::Made(const EntryPtr& entry) const {
  if (entry == nullptr) return false;
  return place_in_put_.contains(entry->id);
}

EntryPtr EntryBatch::Current(const std::string& id) const {
  if (const auto found = place_in_put_.find(id); found != place_in_put_.end())
    return put_[found->second];
  if (removed_by_id_.contains(id)) return nullptr;
  return entries_.Find(id);
}

EntryPtr EntryBatch::FindSimilar(const Entry& entry) const {
  if (EntryPtr existing = entries_.FindSimilar(entry); existing != nullptr) return existing;
  const auto [first, last] = created_.equal_range(Likeness(entry));
  for (auto at = first; at != last; ++at) {
    if (Similar(*at->second, entry)) return at->second;
  }
  return nullptr;
}

Status EntryBatch::CheckFederatesWith(const Entry& entry) const {
  for (const TrustDomain& trust_domain : entry.federates_with) {
    if (!bundles_.contains(trust_domain)) {
      // INTERNAL as SPIRE answers it.
      return Fail(Code::kInternal, kFederatedBundleUnknown, '"' + trust_domain.IdString() + '"');
    }
  }
  return {};
}

void EntryBatch::Put(const EntryPtr& entry) {
  const auto [place, added] = place_in_put_.try_emplace(entry->id, put_.size());
  if (added) {
    put_.push_back(entry);
  } else {
    put_[place->second] = entry;
  }
}

}  // namespace signet::identity
