// What the keeper does when an authority stands above ours: has ours certified by it, follows its
// bundle, publishes our JWT authorities there.
#include <algorithm>

#include "ca/x509/path.h"
#include "identity/server/authority_keeper_state.h"
#include "identity/svid/x509_svid.h"

namespace signet::identity {
namespace {

using ca::AuthorityState;

// How long agents may take to hold the root that replaces a tainted one before it is used anyway.
constexpr Duration kTaintPatience = std::chrono::seconds(30);

JwtBundleAuthority AsBundled(const AuthorityRecord& record) {
  return {.key_id = record.slot.id,
          .public_key = record.public_key,
          .expires_at = UnixSeconds(record.slot.not_after),
          .tainted = false};
}

bool Holds(const UpstreamTrust& above, const AuthorityRecord& record) {
  return std::ranges::any_of(above.jwt, [&](const JwtBundleAuthority& key) {
    return key.key_id == record.slot.id && key.public_key == record.public_key;
  });
}

}  // namespace

// Our own certificate first, a root last, and every certificate between them checked.
Result<ca::Chain> AuthorityKeeper::State::CertifyAbove(
    const std::shared_ptr<const ca::Signer>& signer, WallTime now) {
  auto chain = settings.upstream->Certify({.signer = signer,
                                           .uri_san = registry.trust_domain().IdString(),
                                           .not_before = now - settings.backdate,
                                           .not_after = now + settings.ca_ttl},
                                          [&](const ca::IssuanceIntent& intent) -> Status {
                                            AuditRecord record = MakeIssuanceRecord(intent, now);
                                            if (intent.purpose == ca::Purpose::kDownstreamCa)
                                              record.purpose = "intermediate";
                                            return store.AppendRecords({record});
                                          });
  if (!chain) return chain;
  std::vector<ca::Certificate> roots;
  for (const X509BundleAuthority& root : settings.upstream->Trust().x509)
    if (!root.tainted) roots.push_back(root.certificate);
  SIGNET_TRY(const ca::Chain path, ca::BuildPath(*chain, roots, clock.Now()));
  return path;
}

// An authority below a root that is in the bundle already is held by whoever holds the root.
Revision AuthorityKeeper::State::PublishedAt(const AuthorityRecord& record) const {
  for (const AuthorityRecord& other : records) {
    if (other.type != record.type || other.slot.id == record.slot.id || record.chain.empty() ||
        other.chain.empty() || other.chain.back() != record.chain.back())
      continue;
    if (const auto found = published_at.find(other.slot.id); found != published_at.end())
      return found->second;
  }
  if (!record.chain.empty()) {
    if (const auto found = root_published_at.find(record.chain.back());
        found != root_published_at.end())
      return found->second;
  }
  return registry.revision();
}

// New roots and keys at once; taints and withdrawals only when nothing of ours is below them.
Status AuthorityKeeper::State::FollowAbove(WallTime now) {
  if (settings.upstream == nullptr) return {};
  const UpstreamTrust above = settings.upstream->Trust();
  const BundlePtr bundle = registry.OwnBundle();
  const Bundle nothing;
  TrustSteps steps = FollowUpstream(bundle ? *bundle : nothing, above, seen_above, records, now);
  seen_above.Add(above);
  SIGNET_RETURN_IF_ERROR(AddFromAbove(steps.added));
  SIGNET_TRY(const bool is_free, LeaveRoots(steps.tainted_roots, now));
  const auto in_use = [&](const ca::Certificate& root) {
    const AuthorityRecord* const current = FindActive(kX509Authority);
    return current != nullptr && IsBelow(*current, {&root, 1});
  };
  if (!is_free) std::erase_if(steps.tainted_roots, in_use);
  std::erase_if(steps.gone_roots, in_use);
  return DistrustAsAbove(steps);
}

Status AuthorityKeeper::State::AddFromAbove(const Bundle& added) {
  if (added.x509_authorities.empty() && added.jwt_authorities.empty()) return {};
  const auto published = registry.ChangeOwnBundle([&](Bundle& own) -> Status {
    AddAuthorities(added, own);
    return {};
  });
  if (!published) return Fail(published.error());
  for (const X509BundleAuthority& root : added.x509_authorities)
    root_published_at[ToBytes(root.certificate.der())] = registry.revision();
  log.Info("the trust bundle follows the authority above",
           {{"new_roots", added.x509_authorities.size()},
            {"new_jwt_keys", added.jwt_authorities.size()}});
  return {};
}

// Takes an authority below another root into use when the present one is below one of `roots`.
// False: agents are still waited for.
Result<bool> AuthorityKeeper::State::LeaveRoots(std::span<const ca::Certificate> roots,
                                                WallTime now) {
  const AuthorityRecord* const current = FindActive(kX509Authority);
  if (current == nullptr || !IsBelow(*current, roots)) return true;
  if (!leaving_since) leaving_since = clock.SteadyNow();
  const AuthorityRecord* next = FindPrepared(kX509Authority, now);
  if (next == nullptr || IsBelow(*next, roots)) {
    SIGNET_TRY(const std::string id, Prepare(kX509Authority, now));
    next = FindPrepared(kX509Authority, now);
    log.Info("an authority is prepared below another root", {{"authority", id}});
  }
  if (next == nullptr || IsBelow(*next, roots)) {
    return Fail(Code::kFailedPrecondition, kUpstreamUnusable,
                "it certifies below a root that is tainted or withdrawn");
  }
  SIGNET_RETURN_IF_ERROR(PublishPrepared());
  const Acknowledgement held = Acknowledged(next->slot.id, now);
  if (!held.all && clock.SteadyNow() - *leaving_since < kTaintPatience) return false;
  log.Warn("the root above is tainted or withdrawn: another authority takes over",
           {{"authority", next->slot.id},
            {"acknowledged", held.acknowledged},
            {"live", held.live},
            {"first_missing", held.waiting_for.empty() ? "" : held.waiting_for.front()}});
  SIGNET_RETURN_IF_ERROR(Activate(AuthorityRecord(*next)));
  leaving_since.reset();
  return true;
}

Status AuthorityKeeper::State::DistrustAsAbove(const TrustSteps& steps) {
  if (steps.tainted_roots.empty() && steps.tainted_jwt_keys.empty() && steps.gone_roots.empty() &&
      steps.gone_jwt_keys.empty())
    return {};
  const auto listed = [](const auto& list, const auto& value) {
    return std::ranges::find(list, value) != list.end();
  };
  const auto changed = registry.ChangeOwnBundle([&](Bundle& own) -> Status {
    for (X509BundleAuthority& root : own.x509_authorities)
      root.tainted = root.tainted || listed(steps.tainted_roots, root.certificate);
    for (JwtBundleAuthority& key : own.jwt_authorities)
      key.tainted = key.tainted || listed(steps.tainted_jwt_keys, key.key_id);
    std::erase_if(own.x509_authorities, [&](const X509BundleAuthority& root) {
      return listed(steps.gone_roots, root.certificate);
    });
    std::erase_if(own.jwt_authorities, [&](const JwtBundleAuthority& key) {
      return listed(steps.gone_jwt_keys, key.key_id);
    });
    return {};
  });
  if (!changed) return Fail(changed.error());
  log.Warn("the trust bundle follows the authority above: what it distrusts renews or is refused",
           {{"tainted_roots", steps.tainted_roots.size()},
            {"tainted_jwt_keys", steps.tainted_jwt_keys.size()},
            {"withdrawn_roots", steps.gone_roots.size()},
            {"withdrawn_jwt_keys", steps.gone_jwt_keys.size()},
            {"bundle_sequence", (*changed)->sequence_number}});
  return {};
}

bool AuthorityKeeper::State::IsMissingAbove(const AuthorityRecord& record,
                                            const UpstreamTrust& above, WallTime now) const {
  return record.type == kJwtAuthority && record.slot.state != AuthorityState::kOld &&
         !record.slot.tainted && record.slot.not_after > now && !Holds(above, record);
}

// Verifiers that hold the bundle above know our JWT authorities from there.
Status AuthorityKeeper::State::PublishJwtAbove(WallTime now) {
  if (settings.upstream == nullptr || !settings.upstream->TakesJwtAuthorities()) return {};
  const UpstreamTrust above = settings.upstream->Trust();
  for (const AuthorityRecord& record : records) {
    if (!IsMissingAbove(record, above, now)) continue;
    SIGNET_RETURN_IF_ERROR(settings.upstream->PublishJwt(AsBundled(record)));
    log.Info("JWT authority published above", {{"authority", record.slot.id}});
  }
  return {};
}

Status AuthorityKeeper::PublishAbove(const JwtBundleAuthority& authority) {
  UpstreamAuthority* const upstream = state_->settings.upstream;
  if (upstream == nullptr || !upstream->TakesJwtAuthorities()) return {};
  return upstream->PublishJwt(authority);
}

// What is not known above is not used while something else that is can be.
Status AuthorityKeeper::State::CheckKnownAbove(const AuthorityRecord& next, WallTime now) const {
  if (settings.upstream == nullptr || !settings.upstream->TakesJwtAuthorities()) return {};
  const AuthorityRecord* const current = FindActive(next.type);
  if (current == nullptr || current->slot.not_after <= now) return {};
  if (!IsMissingAbove(next, settings.upstream->Trust(), now)) return {};
  return Fail(Code::kUnavailable, kAuthorityUnpublished,
              next.slot.id + " is not published by the authority above yet");
}

}  // namespace signet::identity
