#include "agent/sync/batch_assembler.h"

#include <fmt/format.h>

#include "agent/sync/codec.h"

namespace signet::agent {

namespace sync_api = signet::sync::v1;

Status BatchAssembler::CheckPart(const sync_api::Batch& batch) const {
  const auto refuse = [](std::string what) {
    return Fail(Code::kInternal, kBatchRefused, std::move(what));
  };
  if (batch.revision() == 0) return refuse("revision 0");
  if (gathering_ && batch.revision() != delta_.revision)
    return refuse(
        fmt::format("revision {} before the end of {}", batch.revision(), delta_.revision));
  if (gathering_ && batch.full() != delta_.full) return refuse("full and partial parts mixed");
  if (batch.full() && (batch.removed_entry_ids_size() > 0 || batch.removed_bundles_size() > 0))
    return refuse("a full revision removes nothing");
  const std::size_t entries = delta_.upserts.size() + delta_.removed_entries.size() +
                              static_cast<std::size_t>(batch.upserts_size()) +
                              static_cast<std::size_t>(batch.removed_entry_ids_size());
  if (entries > kMaxEntries) return refuse(fmt::format("more than {} entries", kMaxEntries));
  return {};
}

Status BatchAssembler::Gather(const sync_api::Batch& batch) {
  for (const auto& message : batch.upserts()) {
    SIGNET_TRY(auto entry, ToEntry(message));
    if (!seen_ids_.insert(entry.id).second)
      return Fail(Code::kInternal, kBatchRefused, "entry id repeated in one revision");
    delta_.upserts.push_back(std::move(entry));
  }
  for (const std::string& id : batch.removed_entry_ids()) {
    if (!seen_ids_.insert(id).second)
      return Fail(Code::kInternal, kBatchRefused, "entry id repeated in one revision");
    delta_.removed_entries.push_back(id);
  }
  for (const auto& message : batch.bundles()) {
    SIGNET_TRY(auto bundle, ToBundle(message));
    delta_.bundles.push_back(std::move(bundle));
  }
  for (const std::string& name : batch.removed_bundles()) {
    SIGNET_TRY(auto trust_domain, identity::TrustDomain::FromNameOrId(name));
    delta_.removed_bundles.push_back(std::move(trust_domain));
  }
  return {};
}

Result<std::optional<Delta>> BatchAssembler::Add(const sync_api::Batch& batch) {
  SIGNET_RETURN_IF_ERROR(CheckPart(batch));
  if (!gathering_) {
    gathering_ = true;
    delta_.revision = batch.revision();
    delta_.full = batch.full();
  }
  SIGNET_RETURN_IF_ERROR(Gather(batch));
  if (!batch.last()) return std::nullopt;
  std::optional<Delta> whole = std::move(delta_);
  *this = BatchAssembler();
  return whole;
}

}  // namespace signet::agent
