#include "identity/api/local_authority_service.h"

#include "identity/api/rpc_status.h"
#include "identity/api/svid_service.h"

namespace signet::identity {
namespace {

namespace api = spire::api::server::localauthority::v1;

std::string Path(std::string_view name) {
  return "/spire.api.server.localauthority.v1.LocalAuthority/" + std::string(name);
}

std::string InLowerCase(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

template <class Request, class Response>
UnaryHandler Refusal(Code code, Reason reason) {
  return Unary<Request, Response>(
      [code, reason](const Caller&, const Request&) -> Result<Response> {
        return Fail(code, reason);
      });
}

}  // namespace

api::AuthorityState LocalAuthorityService::StateOf(std::string_view type,
                                                   const ca::AuthoritySlot& slot) const {
  api::AuthorityState state;
  state.set_authority_id(slot.id);
  state.set_expires_at(UnixSeconds(slot.not_after));
  state.set_upstream_authority_subject_key_id(keeper_.UpstreamId(type, slot.id));
  return state;
}

Status LocalAuthorityService::CheckEnabled(std::string_view type) const {
  if (type != kJwtAuthority || jwt_enabled_) return {};
  return Fail(Code::kUnimplemented, kJwtDisabled);
}

template <class Request, class Response>
UnaryHandler LocalAuthorityService::Show(std::string_view type) {
  return Unary<Request, Response>([this, type](const Caller&, const Request&) -> Result<Response> {
    SIGNET_RETURN_IF_ERROR(CheckEnabled(type));
    const auto view = keeper_.Show(type);
    Response response;
    if (view.active) *response.mutable_active() = StateOf(type, *view.active);
    if (view.prepared) *response.mutable_prepared() = StateOf(type, *view.prepared);
    if (view.old) *response.mutable_old() = StateOf(type, *view.old);
    return response;
  });
}

template <class Request, class Response>
UnaryHandler LocalAuthorityService::Prepare(std::string_view type) {
  return Unary<Request, Response>(
      [this, type](const Caller& caller, const Request&) -> Result<Response> {
        SIGNET_RETURN_IF_ERROR(CheckEnabled(type));
        const auto slot = keeper_.PrepareNext(type, caller.AsActor());
        if (!slot)
          return Fail(InContext("failed to prepare authority", Code::kInternal, slot.error()));
        Response response;
        *response.mutable_prepared_authority() = StateOf(type, *slot);
        return response;
      });
}

template <class Request, class Response>
UnaryHandler LocalAuthorityService::Activate(std::string_view type) {
  return Unary<Request, Response>(
      [this, type](const Caller& caller, const Request& request) -> Result<Response> {
        SIGNET_RETURN_IF_ERROR(CheckEnabled(type));
        SIGNET_TRY(const auto slot,
                   keeper_.ActivatePrepared(type, request.authority_id(), caller.AsActor()));
        Response response;
        *response.mutable_activated_authority() = StateOf(type, slot);
        return response;
      });
}

template <class Request, class Response>
UnaryHandler LocalAuthorityService::Taint(std::string_view type) {
  return Unary<Request, Response>([this, type](const Caller& caller,
                                               const Request& request) -> Result<Response> {
    SIGNET_RETURN_IF_ERROR(CheckEnabled(type));
    SIGNET_TRY(const auto slot, keeper_.TaintOld(type, request.authority_id(), caller.AsActor()));
    Response response;
    *response.mutable_tainted_authority() = StateOf(type, slot);
    return response;
  });
}

template <class Request, class Response>
UnaryHandler LocalAuthorityService::Revoke(std::string_view type) {
  return Unary<Request, Response>(
      [this, type](const Caller& caller, const Request& request) -> Result<Response> {
        SIGNET_RETURN_IF_ERROR(CheckEnabled(type));
        SIGNET_RETURN_IF_ERROR(keeper_.Revoke(type, request.authority_id(), caller.AsActor()));
        Response response;
        response.mutable_revoked_authority()->set_authority_id(request.authority_id());
        return response;
      });
}

void LocalAuthorityService::Register(Router* router) {
  RegisterX509(router);
  RegisterJwt(router);
  RegisterUpstream(router);
  RegisterRefused(router);
}

void LocalAuthorityService::RegisterX509(Router* router) {
  const auto type = kX509Authority;
  router->AddUnary(
      Path("GetX509AuthorityState"),
      Show<api::GetX509AuthorityStateRequest, api::GetX509AuthorityStateResponse>(type));
  router->AddUnary(
      Path("PrepareX509Authority"),
      Prepare<api::PrepareX509AuthorityRequest, api::PrepareX509AuthorityResponse>(type));
  router->AddUnary(
      Path("ActivateX509Authority"),
      Activate<api::ActivateX509AuthorityRequest, api::ActivateX509AuthorityResponse>(type));
  router->AddUnary(Path("TaintX509Authority"),
                   Taint<api::TaintX509AuthorityRequest, api::TaintX509AuthorityResponse>(type));
  router->AddUnary(Path("RevokeX509Authority"),
                   Revoke<api::RevokeX509AuthorityRequest, api::RevokeX509AuthorityResponse>(type));
}

void LocalAuthorityService::RegisterJwt(Router* router) {
  const auto type = kJwtAuthority;
  router->AddUnary(Path("GetJWTAuthorityState"),
                   Show<api::GetJWTAuthorityStateRequest, api::GetJWTAuthorityStateResponse>(type));
  router->AddUnary(
      Path("PrepareJWTAuthority"),
      Prepare<api::PrepareJWTAuthorityRequest, api::PrepareJWTAuthorityResponse>(type));
  router->AddUnary(
      Path("ActivateJWTAuthority"),
      Activate<api::ActivateJWTAuthorityRequest, api::ActivateJWTAuthorityResponse>(type));
  router->AddUnary(Path("TaintJWTAuthority"),
                   Taint<api::TaintJWTAuthorityRequest, api::TaintJWTAuthorityResponse>(type));
  router->AddUnary(Path("RevokeJWTAuthority"),
                   Revoke<api::RevokeJWTAuthorityRequest, api::RevokeJWTAuthorityResponse>(type));
}

void LocalAuthorityService::RegisterRefused(Router* router) {
  const auto wit = [&]<class Request, class Response>(std::string_view name) {
    router->AddInline(Path(name),
                      Refusal<Request, Response>(Code::kUnimplemented, kWitUnimplemented));
  };
  wit.operator()<api::GetWITAuthorityStateRequest, api::GetWITAuthorityStateResponse>(
      "GetWITAuthorityState");
  wit.operator()<api::PrepareWITAuthorityRequest, api::PrepareWITAuthorityResponse>(
      "PrepareWITAuthority");
  wit.operator()<api::ActivateWITAuthorityRequest, api::ActivateWITAuthorityResponse>(
      "ActivateWITAuthority");
  wit.operator()<api::TaintWITAuthorityRequest, api::TaintWITAuthorityResponse>(
      "TaintWITAuthority");
  wit.operator()<api::RevokeWITAuthorityRequest, api::RevokeWITAuthorityResponse>(
      "RevokeWITAuthority");
}

void LocalAuthorityService::RegisterUpstream(Router* router) {
  router->AddUnary(
      Path("TaintX509UpstreamAuthority"),
      Unary<api::TaintX509UpstreamAuthorityRequest, api::TaintX509UpstreamAuthorityResponse>(
          [this](const Caller& caller, const api::TaintX509UpstreamAuthorityRequest& request)
              -> Result<api::TaintX509UpstreamAuthorityResponse> {
            const std::string id = InLowerCase(request.subject_key_id());
            SIGNET_RETURN_IF_ERROR(keeper_.TaintUpstream(id, caller.AsActor()));
            api::TaintX509UpstreamAuthorityResponse response;
            response.set_upstream_authority_subject_key_id(id);
            return response;
          }));
  router->AddUnary(
      Path("RevokeX509UpstreamAuthority"),
      Unary<api::RevokeX509UpstreamAuthorityRequest, api::RevokeX509UpstreamAuthorityResponse>(
          [this](const Caller& caller, const api::RevokeX509UpstreamAuthorityRequest& request)
              -> Result<api::RevokeX509UpstreamAuthorityResponse> {
            const std::string id = InLowerCase(request.subject_key_id());
            SIGNET_RETURN_IF_ERROR(keeper_.RevokeUpstream(id, caller.AsActor()));
            api::RevokeX509UpstreamAuthorityResponse response;
            response.set_upstream_authority_subject_key_id(id);
            return response;
          }));
}

}  // namespace signet::identity
