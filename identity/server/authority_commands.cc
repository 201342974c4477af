#include <algorithm>

#include "ca/keys/key_store.h"
#include "identity/server/authority_keeper_state.h"

namespace signet::identity {
namespace {

tl::unexpected<Error> Refuse(Reason reason, std::string detail = {}) {
  return Fail(Code::kInvalidArgument, reason, std::move(detail));
}

bool Is(const std::optional<ca::AuthoritySlot>& slot, std::string_view id) {
  return slot && slot->id == id;
}

const AuthorityRecord* FindRecord(std::span<const AuthorityRecord> records, std::string_view type,
                                  std::string_view id) {
  for (const AuthorityRecord& record : records)
    if (record.type == type && record.slot.id == id) return &record;
  return nullptr;
}

// Only the root that the old authority of ours was below, and no other is, may be tainted or
// revoked by hand.
Status CheckUpstreamLeft(const AuthorityKeeper::State& state, const std::string& key_id) {
  if (state.settings.upstream == nullptr) return Fail(Code::kFailedPrecondition, kNoUpstream);
  const auto refuse = [](std::string why) { return Refuse(kUpstreamIdWrong, std::move(why)); };
  if (key_id.empty()) return refuse("no subject key ID provided");
  const SlotView view = state.View(kX509Authority);
  const auto is_below = [&](const std::optional<ca::AuthoritySlot>& slot) {
    const AuthorityRecord* const record =
        slot ? FindRecord(state.records, kX509Authority, slot->id) : nullptr;
    return record != nullptr && UpstreamIdOf(*record) == key_id;
  };
  if (is_below(view.active)) return refuse("the authority in use is below it");
  if (is_below(view.prepared)) return refuse("the prepared authority is below it");
  if (!is_below(view.old)) return refuse("the old authority is not below it");
  return {};
}

// The bundle holds the root above, which every authority of ours is under: FAILED_PRECONDITION as
// SPIRE answers it.
Status CheckIsRoot(std::string_view type, const AuthoritySettings& settings) {
  if (type != kX509Authority || settings.upstream == nullptr) return {};
  return Fail(Code::kFailedPrecondition, kAuthorityBelow);
}

}  // namespace

bool AuthorityKeeper::HasUpstream() const { return state_->settings.upstream != nullptr; }

SlotView AuthorityKeeper::Show(std::string_view type) const {
  const std::lock_guard lock(state_->mutex);
  return ViewSlots(type, state_->records);
}

Result<ca::AuthoritySlot> AuthorityKeeper::PrepareNext(std::string_view type, const Actor& by) {
  State& state = *state_;
  const std::lock_guard turn(state.tick_mutex);
  const WallTime now = state.clock.Now();
  SIGNET_TRY(const std::string id, state.Prepare(type, now, by));
  SIGNET_RETURN_IF_ERROR(state.PublishPrepared());
  if (type == kJwtAuthority) SIGNET_RETURN_IF_ERROR(state.PublishJwtAbove(now));
  return FindRecord(state.records, type, id)->slot;
}

Result<ca::AuthoritySlot> AuthorityKeeper::ActivatePrepared(std::string_view type,
                                                            const std::string& id,
                                                            const Actor& by) {
  if (id.empty()) return Refuse(kAuthorityIdMissing);
  State& state = *state_;
  const std::lock_guard turn(state.tick_mutex);
  const SlotView view = state.View(type);
  // INTERNAL as SPIRE answers it.
  if (Is(view.old, id))
    return Fail(Code::kInternal, kAuthorityStateWrong, "only a prepared one can be activated");
  if (!Is(view.prepared, id)) return Refuse(kAuthorityIdUnexpected);
  const AuthorityRecord next = *FindRecord(state.records, type, id);
  const BundlePtr bundle = state.registry.OwnBundle();
  if (next.slot.not_after <= state.clock.Now() || !IsPublished(next, *bundle)) {
    return Fail(Code::kFailedPrecondition, kAuthorityUnpublished,
                "it has ended or left the trust bundle");
  }
  const Acknowledgement held = state.Acknowledged(id, state.clock.Now());
  if (!held.all) {
    state.log.Warn("authority goes into use on command before every live agent holds it",
                   {{"type", type},
                    {"authority", id},
                    {"acknowledged", held.acknowledged},
                    {"live", held.live},
                    {"first_missing", held.waiting_for.empty() ? "" : held.waiting_for.front()}});
  }
  SIGNET_RETURN_IF_ERROR(state.Activate(next, by));
  return FindRecord(state.records, type, id)->slot;
}

Result<ca::AuthoritySlot> AuthorityKeeper::TaintOld(std::string_view type, const std::string& id,
                                                    const Actor& by) {
  State& state = *state_;
  SIGNET_RETURN_IF_ERROR(CheckIsRoot(type, state.settings));
  if (id.empty()) return Refuse(kAuthorityIdMissing);
  const std::lock_guard turn(state.tick_mutex);
  const SlotView view = state.View(type);
  if (Is(view.active, id)) return Refuse(kAuthorityStateWrong, "it is in use");
  if (Is(view.prepared, id))
    return Refuse(kAuthorityStateWrong, "it is prepared; only an old one can be tainted");
  if (!Is(view.old, id)) return Refuse(kAuthorityIdUnexpected);
  const auto published = PublicationOf(*state.registry.OwnBundle(), type, id);
  // INTERNAL as SPIRE answers it.
  if (published == Publication::kAbsent) return Fail(Code::kInternal, kAuthorityUnpublished, id);
  if (published == Publication::kTainted) return Fail(Code::kInternal, kAuthorityTainted, id);
  SIGNET_TRY(const BundlePtr changed, state.registry.ChangeOwnBundle(
                                          [&](Bundle& own) -> Status {
                                            TaintInBundle(type, id, own);
                                            return {};
                                          },
                                          by));
  AuthorityRecord record = *FindRecord(state.records, type, id);
  record.slot.tainted = true;
  SIGNET_RETURN_IF_ERROR(state.Write({record}, by));
  state.log.Warn(
      "authority tainted: whoever holds an SVID by it renews",
      {{"type", type}, {"authority", id}, {"bundle_sequence", changed->sequence_number}});
  return record.slot;
}

Status AuthorityKeeper::Revoke(std::string_view type, const std::string& id, const Actor& by) {
  State& state = *state_;
  SIGNET_RETURN_IF_ERROR(CheckIsRoot(type, state.settings));
  if (id.empty()) return Refuse(kAuthorityIdMissing);
  const std::lock_guard turn(state.tick_mutex);
  const SlotView view = state.View(type);
  if (Is(view.active, id)) return Refuse(kAuthorityStateWrong, "it is in use");
  if (Is(view.prepared, id)) return Refuse(kAuthorityStateWrong, "it is prepared");
  const auto published = PublicationOf(*state.registry.OwnBundle(), type, id);
  if (published == Publication::kAbsent) {
    // SPIRE looks at its own slots first, then at the bundle; hence two codes.
    return Fail(Is(view.old, id) ? Code::kInternal : Code::kInvalidArgument, kAuthorityUnpublished,
                id);
  }
  if (published == Publication::kTrusted) return Fail(Code::kInternal, kAuthorityUntainted, id);
  SIGNET_TRY(const BundlePtr changed, state.registry.ChangeOwnBundle(
                                          [&](Bundle& own) -> Status {
                                            RevokeFromBundle(type, id, own);
                                            return {};
                                          },
                                          by));
  state.log.Warn(
      "authority revoked: what it signed is not accepted any more",
      {{"type", type}, {"authority", id}, {"bundle_sequence", changed->sequence_number}});
  return {};
}

std::string AuthorityKeeper::UpstreamId(std::string_view type, const std::string& id) const {
  const std::lock_guard lock(state_->mutex);
  const AuthorityRecord* const record = FindRecord(state_->records, type, id);
  return record == nullptr ? std::string() : UpstreamIdOf(*record);
}

Status AuthorityKeeper::TaintUpstream(const std::string& key_id, const Actor& by) {
  State& state = *state_;
  const std::lock_guard turn(state.tick_mutex);
  SIGNET_RETURN_IF_ERROR(CheckUpstreamLeft(state, key_id));
  const auto published = PublicationOf(*state.registry.OwnBundle(), kX509Authority, key_id);
  if (published == Publication::kAbsent)
    return Fail(Code::kInternal, kAuthorityUnpublished, key_id);
  if (published == Publication::kTainted) return Fail(Code::kInternal, kAuthorityTainted, key_id);
  const auto changed = state.registry.ChangeOwnBundle(
      [&](Bundle& own) -> Status {
        TaintInBundle(kX509Authority, key_id, own);
        return {};
      },
      by);
  if (!changed) return Fail(changed.error());
  state.log.Warn("root above tainted: whoever holds an SVID below it renews",
                 {{"root", key_id}, {"bundle_sequence", (*changed)->sequence_number}});
  return {};
}

Status AuthorityKeeper::RevokeUpstream(const std::string& key_id, const Actor& by) {
  State& state = *state_;
  const std::lock_guard turn(state.tick_mutex);
  SIGNET_RETURN_IF_ERROR(CheckUpstreamLeft(state, key_id));
  const auto published = PublicationOf(*state.registry.OwnBundle(), kX509Authority, key_id);
  if (published == Publication::kAbsent)
    return Fail(Code::kInternal, kAuthorityUnpublished, key_id);
  if (published == Publication::kTrusted) return Fail(Code::kInternal, kAuthorityUntainted, key_id);
  const auto above = state.settings.upstream->Trust();
  if (std::ranges::any_of(above.x509, [&](const X509BundleAuthority& root) {
        return EncodeHex(root.certificate.subject_key_id()) == key_id;
      })) {
    return Fail(Code::kFailedPrecondition, kUpstreamHolds,
                "revoke it there, or it would be back at once");
  }
  const auto changed = state.registry.ChangeOwnBundle(
      [&](Bundle& own) -> Status {
        RevokeFromBundle(kX509Authority, key_id, own);
        return {};
      },
      by);
  if (!changed) return Fail(changed.error());
  state.log.Warn("root above revoked: what is below it is not accepted any more",
                 {{"root", key_id}, {"bundle_sequence", (*changed)->sequence_number}});
  return {};
}

}  // namespace signet::identity
