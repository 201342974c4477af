#include "identity/server/jwt_issuer.h"

#include <utility>

#include "identity/server/issuer.h"

namespace signet::identity {

JwtIssuer::JwtIssuer(const ActiveJwtAuthority& authority, Store& store, JwtIssuerSettings settings,
                     const Clock& clock, Random& random, Metrics& metrics)
    : authority_(authority),
      store_(store),
      settings_(std::move(settings)),
      clock_(clock),
      random_(random),
      issued_(metrics.Counter("signet_server_jwt_svids_issued_total", "JWT-SVIDs signed")),
      refused_(metrics.Counter("signet_server_jwt_svids_refused_total",
                               "JWT-SVIDs not signed: claims, journal or signer said no")),
      shortened_(metrics.Counter("signet_server_jwt_svids_shortened_total",
                                 "JWT-SVIDs cut to the end of the authority that signed them")) {}

Result<IssuedJwt> JwtIssuer::Issue(const JwtIssueRequest& request) const {
  auto issued = IssueUncounted(request);
  (issued ? issued_ : refused_).Add();
  return issued;
}

Result<IssuedJwt> JwtIssuer::IssueUncounted(const JwtIssueRequest& request) const {
  const auto authority = authority_.ActiveJwt();
  if (authority == nullptr) {
    return Fail(Code::kUnavailable, kNoActiveAuthority,
                "the server has no JWT authority in use yet");
  }
  const std::string token_id = random_.Uuid();
  ca::JwtClaims claims;
  claims.subject = request.id.ToString();
  for (const std::string& audience : request.audience)
    if (!audience.empty()) claims.audience.push_back(audience);
  claims.lifetime = request.ttl.count() == 0 ? settings_.default_ttl : request.ttl;
  claims.issuer = settings_.issuer;
  if (request.state_token_id) claims.token_id = token_id;
  SIGNET_TRY(const ca::PreparedJwt prepared, authority->Prepare(claims, clock_.Now()));
  if (prepared.shortened) shortened_.Add();
  AuditRecord record;
  record.event = event::kIssued;
  record.serial = token_id;
  record.subject = claims.subject;
  record.purpose = "jwt";
  record.object = request.entry_id;
  record.revision = request.entry_revision;
  record.actor = request.requested_by;
  record.authority_id = prepared.key_id;
  record.not_before = UnixSeconds(prepared.issued_at);
  record.not_after = UnixSeconds(prepared.expires_at);
  record.recorded_at = UnixSeconds(prepared.issued_at);
  SIGNET_RETURN_IF_ERROR(store_.AppendRecords({record}));
  SIGNET_TRY(std::string token, authority->Sign(prepared));
  return IssuedJwt{.token = std::move(token),
                   .issued_at = prepared.issued_at,
                   .expires_at = prepared.expires_at};
}

}  // namespace signet::identity
