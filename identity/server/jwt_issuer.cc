#include "identity/server/jwt_issuer.h"

#include <utility>

#include "identity/server/issuer.h"

namespace signet::identity {

JwtIssuer::JwtIssuer(const ActiveJwtAuthority& authority, const Journal& journal,
                     JwtIssuerSettings settings, const Clock& clock, Random& random,
                     Metrics& metrics)
    : authority_(authority),
      journal_(journal),
      settings_(std::move(settings)),
      clock_(clock),
      random_(random),
      issued_(metrics.Counter("signet_server_jwt_svids_issued_total", "JWT-SVIDs signed")),
      refused_(metrics.Counter("signet_server_jwt_svids_refused_total",
                               "JWT-SVIDs not signed: claims, journal or signer said no")),
      shortened_(metrics.Counter("signet_server_jwt_svids_shortened_total",
                                 "JWT-SVIDs cut to the end of the authority that signed them")) {}

void JwtIssuer::IssueLater(const JwtIssueRequest& request, Done done) const {
  const auto finish = [this, done = std::move(done)](Result<IssuedJwt> issued) {
    (issued ? issued_ : refused_).Add();
    done(std::move(issued));
  };
  auto made = Prepare(request);
  if (!made) return finish(Fail(std::move(made).error()));
  auto prepared = std::make_shared<Prepared>(*std::move(made));
  journal_.Append({prepared->record}, [prepared, finish](const Status& recorded) {
    finish(Sign(*prepared, recorded));
  });
}

Result<JwtIssuer::Prepared> JwtIssuer::Prepare(const JwtIssueRequest& request) const {
  auto authority = authority_.ActiveJwt();
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
  SIGNET_TRY(ca::PreparedJwt token, authority->Prepare(claims, clock_.Now()));
  if (token.shortened) shortened_.Add();
  AuditRecord record;
  record.event = event::kIssued;
  record.serial = token_id;
  record.subject = claims.subject;
  record.purpose = "jwt";
  record.object = request.entry_id;
  record.revision = request.entry_revision;
  record.actor = request.requested_by;
  record.authority_id = token.key_id;
  record.not_before = UnixSeconds(token.issued_at);
  record.not_after = UnixSeconds(token.expires_at);
  record.recorded_at = UnixSeconds(token.issued_at);
  return Prepared{std::move(authority), std::move(token), std::move(record)};
}

Result<IssuedJwt> JwtIssuer::Sign(const Prepared& prepared, const Status& recorded) {
  SIGNET_RETURN_IF_ERROR(recorded);
  SIGNET_TRY(std::string token, prepared.authority->Sign(prepared.token));
  return IssuedJwt{.token = std::move(token),
                   .issued_at = prepared.token.issued_at,
                   .expires_at = prepared.token.expires_at};
}

}  // namespace signet::identity
