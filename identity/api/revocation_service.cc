#include "identity/api/revocation_service.h"

#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

namespace api = signet::revocation::v1;

void Write(const Denial& denial, api::Denial* message) {
  message->set_id(denial.id);
  message->set_kind(static_cast<api::DenialKind>(denial.kind));
  message->set_subject(denial.subject);
  message->set_created_at(denial.created_at);
  message->set_until(denial.until);
  message->set_reason(denial.reason);
  message->set_created_by(denial.created_by);
}

DenialKind KindOf(api::DenialKind kind) {
  switch (kind) {
    case api::DENIAL_KIND_SPIFFE_ID:
      return DenialKind::kSpiffeId;
    case api::DENIAL_KIND_SERIAL:
      return DenialKind::kSerial;
    case api::DENIAL_KIND_AGENT:
      return DenialKind::kAgent;
    default:
      return DenialKind::kUnknown;  // refused by the registry
  }
}

}  // namespace

void RevocationService::Register(Router* router) {
  router->AddUnary("/signet.revocation.v1.Revocation/Revoke",
                   Unary<RevokeRequest, RevokeResponse>(
                       [this](const Caller& caller, const RevokeRequest& request) {
                         return Revoke(caller, request);
                       }));
  router->AddUnary("/signet.revocation.v1.Revocation/ListDenials",
                   Unary<api::ListDenialsRequest, api::ListDenialsResponse>(
                       [this](const Caller&,
                              const api::ListDenialsRequest&) -> Result<api::ListDenialsResponse> {
                         api::ListDenialsResponse response;
                         for (const auto& denial : registry_.Denials()->all())
                           Write(*denial, response.add_denials());
                         return response;
                       }));
  router->AddUnary("/signet.revocation.v1.Revocation/RemoveDenial",
                   Unary<RemoveRequest, RemoveResponse>(
                       [this](const Caller& caller, const RemoveRequest& request) {
                         return Remove(caller, request);
                       }));
}

Result<RevocationService::RevokeResponse> RevocationService::Revoke(const Caller& caller,
                                                                    const RevokeRequest& request) {
  Denial wanted;
  wanted.kind = KindOf(request.kind());
  wanted.subject = request.subject();
  wanted.until = request.until();
  wanted.reason = request.reason();
  wanted.created_by = caller.Name();
  if (wanted.until < 0)
    return Fail(Code::kInvalidArgument, kDenialMalformed, "until: before the beginning of time");
  SIGNET_TRY(const std::vector<DenialPtr> made,
             registry_.Deny(std::move(wanted), caller.AsActor()));
  RevokeResponse response;
  for (const DenialPtr& denial : made) Write(*denial, response.add_denials());
  response.set_revision(registry_.revision());
  log_.Warn("revoked", {{"kind", DenialKindName(made.front()->kind)},
                        {"subject", made.front()->subject},
                        {"denial", made.front()->id},
                        {"denials", made.size()},
                        {"by", caller.Name()},
                        {"reason", EscapeForLog(made.front()->reason, 256)}});
  return response;
}

Result<RevocationService::RemoveResponse> RevocationService::Remove(const Caller& caller,
                                                                    const RemoveRequest& request) {
  SIGNET_TRY(const DenialPtr denial, registry_.RemoveDenial(request.id(), caller.AsActor()));
  RemoveResponse response;
  Write(*denial, response.mutable_denial());
  response.set_revision(registry_.revision());
  log_.Warn("denial removed",
            {{"subject", denial->subject}, {"denial", denial->id}, {"by", caller.Name()}});
  return response;
}

}  // namespace signet::identity
