#include "identity/api/authorization.h"

#include <algorithm>
#include <array>

namespace signet::identity {
namespace {

constexpr Allowed kAny{.any = true};
constexpr Allowed kLocal{.local = true};
constexpr Allowed kAdmin{.local = true, .admin = true};
constexpr Allowed kDownstream{.downstream = true};
constexpr Allowed kAgent{.agent = true};
constexpr Allowed kAdminOrAgent{.local = true, .admin = true, .agent = true};

constexpr std::string_view kRenew = "/spire.api.server.agent.v1.Agent/RenewAgent";

// Sorted by service as the .proto files have them; the rows of SPIRE's services say what SPIRE's
// policy says.
constexpr MethodRule kRules[] = {
    {"/spire.api.server.agent.v1.Agent/CountAgents", kAdmin},
    {"/spire.api.server.agent.v1.Agent/ListAgents", kAdmin},
    {"/spire.api.server.agent.v1.Agent/GetAgent", kAdmin},
    {"/spire.api.server.agent.v1.Agent/DeleteAgent", kAdmin},
    {"/spire.api.server.agent.v1.Agent/BanAgent", kAdmin},
    {"/spire.api.server.agent.v1.Agent/AttestAgent", kAny},
    {kRenew, kAgent},
    {"/spire.api.server.agent.v1.Agent/CreateJoinToken", kAdmin},
    {"/spire.api.server.agent.v1.Agent/PostStatus", kAgent},

    {"/spire.api.server.bundle.v1.Bundle/CountBundles", kAdmin},
    {"/spire.api.server.bundle.v1.Bundle/GetBundle", kAny},
    {"/spire.api.server.bundle.v1.Bundle/AppendBundle", kAdmin},
    {"/spire.api.server.bundle.v1.Bundle/PublishJWTAuthority", kDownstream},
    {"/spire.api.server.bundle.v1.Bundle/PublishWITAuthority", kDownstream},
    {"/spire.api.server.bundle.v1.Bundle/ListFederatedBundles", kAdmin},
    {"/spire.api.server.bundle.v1.Bundle/GetFederatedBundle", kAdminOrAgent},
    {"/spire.api.server.bundle.v1.Bundle/BatchCreateFederatedBundle", kAdmin},
    {"/spire.api.server.bundle.v1.Bundle/BatchUpdateFederatedBundle", kAdmin},
    {"/spire.api.server.bundle.v1.Bundle/BatchSetFederatedBundle", kAdmin},
    {"/spire.api.server.bundle.v1.Bundle/BatchDeleteFederatedBundle", kAdmin},

    {"/spire.api.server.entry.v1.Entry/CountEntries", kAdmin},
    {"/spire.api.server.entry.v1.Entry/ListEntries", kAdmin},
    {"/spire.api.server.entry.v1.Entry/GetEntry", kAdmin},
    {"/spire.api.server.entry.v1.Entry/BatchCreateEntry", kAdmin},
    {"/spire.api.server.entry.v1.Entry/BatchUpdateEntry", kAdmin},
    {"/spire.api.server.entry.v1.Entry/BatchDeleteEntry", kAdmin},
    {"/spire.api.server.entry.v1.Entry/GetAuthorizedEntries", kAgent},
    {"/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries", kAgent},

    {"/spire.api.server.svid.v1.SVID/MintX509SVID", kAdmin},
    {"/spire.api.server.svid.v1.SVID/MintJWTSVID", kAdmin},
    {"/spire.api.server.svid.v1.SVID/MintWITSVID", kAdmin},
    {"/spire.api.server.svid.v1.SVID/BatchNewX509SVID", kAgent},
    {"/spire.api.server.svid.v1.SVID/NewJWTSVID", kAgent},
    {"/spire.api.server.svid.v1.SVID/BatchNewWITSVID", kAgent},
    {"/spire.api.server.svid.v1.SVID/NewDownstreamX509CA", kDownstream},

    {"/spire.api.server.trustdomain.v1.TrustDomain/ListFederationRelationships", kAdmin},
    {"/spire.api.server.trustdomain.v1.TrustDomain/GetFederationRelationship", kAdmin},
    {"/spire.api.server.trustdomain.v1.TrustDomain/BatchCreateFederationRelationship", kAdmin},
    {"/spire.api.server.trustdomain.v1.TrustDomain/BatchUpdateFederationRelationship", kAdmin},
    {"/spire.api.server.trustdomain.v1.TrustDomain/BatchDeleteFederationRelationship", kAdmin},
    {"/spire.api.server.trustdomain.v1.TrustDomain/RefreshBundle", kAdmin},

    {"/spire.api.server.localauthority.v1.LocalAuthority/GetJWTAuthorityState", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/PrepareJWTAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/ActivateJWTAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/TaintJWTAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/RevokeJWTAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/GetX509AuthorityState", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/PrepareX509Authority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/ActivateX509Authority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/TaintX509Authority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509Authority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/TaintX509UpstreamAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/RevokeX509UpstreamAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/GetWITAuthorityState", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/PrepareWITAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/ActivateWITAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/TaintWITAuthority", kAdmin},
    {"/spire.api.server.localauthority.v1.LocalAuthority/RevokeWITAuthority", kAdmin},

    {"/spire.api.server.debug.v1.Debug/GetInfo", kLocal, true},
    {"/spire.api.server.logger.v1.Logger/GetLogger", kLocal, true},
    {"/spire.api.server.logger.v1.Logger/SetLogLevel", kLocal, true},
    {"/spire.api.server.logger.v1.Logger/ResetLogLevel", kLocal, true},
    {"/grpc.health.v1.Health/Check", kLocal, true},
    {"/grpc.health.v1.Health/Watch", kLocal, true},
    {"/grpc.health.v1.Health/List", kLocal, true},

    {"/signet.audit.v1.Audit/ListRecords", kAdmin},
    {"/signet.audit.v1.Audit/GetCheckpoint", kAdmin},
    {"/signet.audit.v1.Audit/Prune", kAdmin},
    {"/signet.status.v1.Status/GetRotation", kAdmin},
    {"/signet.entries.v1.Entries/Apply", kAdmin},
    {"/signet.entries.v1.Entries/List", kAdmin},
    {"/signet.nested.v1.Nested/ReportHeld", kDownstream},
    {"/signet.revocation.v1.Revocation/Revoke", kAdmin},
    {"/signet.revocation.v1.Revocation/ListDenials", kAdmin},
    {"/signet.revocation.v1.Revocation/RemoveDenial", kAdmin},
    {"/signet.status.v1.Status/GetStatus", kAdmin},
    {"/signet.sync.v1.Sync/Subscribe", kAgent},
};

std::string_view ServiceOf(std::string_view method) {
  if (method.empty() || method.front() != '/') return {};
  const auto slash = method.find('/', 1);
  return slash == std::string_view::npos ? std::string_view() : method.substr(1, slash - 1);
}

}  // namespace

std::span<const MethodRule> AllRules() { return kRules; }

const MethodRule* FindRule(std::string_view method) {
  const auto* rule = std::ranges::find(kRules, method, &MethodRule::method);
  return rule == std::end(kRules) ? nullptr : rule;
}

bool IsKnownService(std::string_view service, bool on_admin_socket) {
  return std::ranges::any_of(kRules, [&](const MethodRule& rule) {
    return ServiceOf(rule.method) == service && (on_admin_socket || !rule.admin_socket_only);
  });
}

Verdict Authorizer::Decide(const MethodRule& rule, const Caller& caller) const {
  const Verdict allowed{.kind = Verdict::Kind::kAllowed};
  switch (caller.kind) {
    case CallerKind::kUnknown:
      return {};
    case CallerKind::kAnonymous:
      return rule.allowed.any && !rule.admin_socket_only ? allowed : Verdict{};
    case CallerKind::kLocal:
      return rule.allowed.any || rule.allowed.local ? allowed : Verdict{};
    case CallerKind::kCertificate:
      break;
  }
  if (rule.admin_socket_only) return {};
  if (rule.allowed.any) return allowed;
  if (IsDenied(caller)) return rule.allowed.agent ? DecideAgent(rule, caller) : Verdict{};
  // A right that an entry grants ends with the SVID that proves who holds it.
  if (clock_.Now() < caller.valid_until) {
    if (rule.allowed.admin && IsAdmin(caller.id)) return allowed;
    if (rule.allowed.downstream && registry_.HasDownstreamEntry(caller.id)) return allowed;
  }
  return rule.allowed.agent ? DecideAgent(rule, caller) : Verdict{};
}

bool Authorizer::IsDenied(const Caller& caller) const {
  return registry_.IsDenied(caller.id, caller.serial_hex);
}

bool Authorizer::IsAdmin(const SpiffeId& id) const {
  return std::ranges::find(settings_.admin_ids, id) != settings_.admin_ids.end() ||
         registry_.HasAdminEntry(id);
}

Verdict Authorizer::DecideAgent(const MethodRule& rule, const Caller& caller) const {
  // Late, but still who holds the key of the SVID we know: may renew, and nothing else.
  const auto grace = rule.method == kRenew ? settings_.renewal_grace : std::chrono::seconds(0);
  bool is_new = false;
  const auto denial = CheckAgent(caller, grace, &is_new);
  if (denial != AgentDenial::kNone) return {.denial = denial};
  return {.kind = is_new ? Verdict::Kind::kPromote : Verdict::Kind::kAllowed};
}

AgentDenial Authorizer::CheckAgent(const Caller& caller) const {
  bool is_new = false;
  return CheckAgent(caller, std::chrono::seconds(0), &is_new);
}

AgentDenial Authorizer::CheckAgent(const Caller& caller, std::chrono::seconds grace,
                                   bool* is_new) const {
  if (caller.kind != CallerKind::kCertificate) return AgentDenial::kNotAttested;
  if (clock_.Now() >= caller.valid_until + grace) return AgentDenial::kExpired;
  const auto node = registry_.FindNode(caller.id);
  if (!node) return AgentDenial::kNotAttested;
  if (node->banned()) return AgentDenial::kBanned;
  if (IsDenied(caller)) return AgentDenial::kNotActive;
  if (caller.serial.empty()) return AgentDenial::kNotActive;
  *is_new = node->serial != caller.serial;
  return *is_new && node->new_serial != caller.serial ? AgentDenial::kNotActive
                                                      : AgentDenial::kNone;
}

Status Authorizer::Promote(const Caller& caller) const {
  auto changed = registry_.ChangeNode(
      caller.id,
      [&](Node& node) -> Status {
        if (node.banned() || caller.serial.empty())
          return Fail(Code::kPermissionDenied, kCallDenied, "the agent is banned");
        if (node.serial == caller.serial) return {};  // another call was quicker
        if (node.new_serial != caller.serial)
          return Fail(Code::kPermissionDenied, kCallDenied, "the agent's SVID is not active");
        node.serial = node.new_serial;
        node.serial_expires_at = node.new_serial_expires_at;
        node.new_serial.clear();
        node.new_serial_expires_at = 0;
        return {};
      },
      caller.AsActor());
  if (!changed) return Fail(changed.error());
  return {};
}

}  // namespace signet::identity
