#include "identity/api/bundle_service.h"

#include <algorithm>

#include "identity/api/convert.h"
#include "identity/api/local_authority_service.h"
#include "identity/api/rpc_status.h"
#include "identity/server/authority_publication.h"

namespace signet::identity {
namespace {

namespace bundle_api = spire::api::server::bundle::v1;
namespace types = spire::api::types;

tl::unexpected<Error> Invalid(std::string detail) {
  return Fail(Code::kInvalidArgument, kFieldInvalid, std::move(detail));
}

std::string Path(std::string_view name) {
  return "/spire.api.server.bundle.v1.Bundle/" + std::string(name);
}

template <class Request>
BundleMask OutputMask(const Request& request) {
  return MaskFromProto(request.has_output_mask() ? &request.output_mask() : nullptr);
}

types::Bundle ToProto(const Bundle& bundle, const BundleMask& mask) {
  types::Bundle proto;
  WriteBundle(bundle, mask, &proto);
  return proto;
}

Result<BundleRemoval> RemovalFromProto(int mode) {
  switch (mode) {
    case bundle_api::BatchDeleteFederatedBundleRequest::RESTRICT:
      return BundleRemoval::kRestrict;
    case bundle_api::BatchDeleteFederatedBundleRequest::DELETE:
      return BundleRemoval::kDelete;
    case bundle_api::BatchDeleteFederatedBundleRequest::DISSOCIATE:
      return BundleRemoval::kDissociate;
    default:
      return Invalid("mode: no deletion mode has the number " + std::to_string(mode));
  }
}

}  // namespace

void BundleService::Register(Router* router) {
  RegisterOwn(router);
  RegisterFederated(router);
}

void BundleService::RegisterOwn(Router* router) {
  router->AddUnary(
      Path("CountBundles"),
      Unary<bundle_api::CountBundlesRequest, bundle_api::CountBundlesResponse>(
          [this](const Caller&, const bundle_api::CountBundlesRequest&)
              -> Result<bundle_api::CountBundlesResponse> {
            bundle_api::CountBundlesResponse response;
            // The own one is counted, as in SPIRE.
            response.set_count(static_cast<int>(parts_.registry.FederatedBundles().size()) + 1);
            return response;
          }));
  router->AddUnary(Path("GetBundle"), Unary<GetRequest, Bundle>(
                                          [this](const Caller& caller, const GetRequest& request) {
                                            return Get(caller, request);
                                          }));
  router->AddUnary(
      Path("AppendBundle"),
      Unary<AppendRequest, Bundle>([this](const Caller& caller, const AppendRequest& request) {
        return Append(caller, request);
      }));
  router->AddUnary(Path("PublishJWTAuthority"),
                   Unary<PublishRequest, PublishResponse>(
                       [this](const Caller& caller, const PublishRequest& request) {
                         return Publish(caller, request);
                       }));
  router->AddInline(
      Path("PublishWITAuthority"),
      Unary<bundle_api::PublishWITAuthorityRequest, bundle_api::PublishWITAuthorityResponse>(
          [](const Caller&, const bundle_api::PublishWITAuthorityRequest&)
              -> Result<bundle_api::PublishWITAuthorityResponse> {
            return Fail(Code::kUnimplemented, kWitUnimplemented);
          }));
}

void BundleService::RegisterFederated(Router* router) {
  router->AddUnary(
      Path("ListFederatedBundles"),
      Unary<ListRequest, ListResponse>(
          [this](const Caller&, const ListRequest& request) { return List(request); }));
  router->AddUnary(
      Path("GetFederatedBundle"),
      Unary<GetFederatedRequest, Bundle>([this](const Caller&, const GetFederatedRequest& request) {
        return GetFederated(request);
      }));
  RegisterWrite<Write::kCreate, bundle_api::BatchCreateFederatedBundleRequest,
                bundle_api::BatchCreateFederatedBundleResponse>(router,
                                                                "BatchCreateFederatedBundle");
  RegisterWrite<Write::kUpdate, bundle_api::BatchUpdateFederatedBundleRequest,
                bundle_api::BatchUpdateFederatedBundleResponse>(router,
                                                                "BatchUpdateFederatedBundle");
  RegisterWrite<Write::kSet, bundle_api::BatchSetFederatedBundleRequest,
                bundle_api::BatchSetFederatedBundleResponse>(router, "BatchSetFederatedBundle");
  router->AddUnary(Path("BatchDeleteFederatedBundle"),
                   Unary<DeleteRequest, DeleteResponse>(
                       [this](const Caller& caller, const DeleteRequest& request) {
                         return Delete(caller, request);
                       }));
}

template <BundleService::Write kind, class Request, class Response>
void BundleService::RegisterWrite(Router* router, std::string_view name) {
  router->AddUnary(
      Path(name), Unary<Request, Response>([this](const Caller& caller,
                                                  const Request& request) -> Result<Response> {
        const auto output = OutputMask(request);
        const types::BundleMask* input = nullptr;
        if constexpr (kind == Write::kUpdate) {
          if (request.has_input_mask()) input = &request.input_mask();
        }
        Response response;
        for (const auto& bundle : request.bundle()) {
          auto* result = response.add_results();
          const auto written = WriteOne(caller, kind, bundle, input);
          *result->mutable_status() = ToProtoStatus(written ? Status() : Fail(written.error()));
          if (!written) continue;
          *result->mutable_bundle() = ToProto(**written, output);
          parts_.log.Info(
              "federated bundle written",
              {{"trust_domain", (*written)->trust_domain.name()}, {"by", caller.Name()}});
        }
        return response;
      }));
}

Result<types::Bundle> BundleService::Get(const Caller& caller, const GetRequest& request) const {
  const auto mask = OutputMask(request);
  const auto revision = parts_.registry.revision();  // before the bundle: it is at least this new
  const auto bundle = parts_.registry.OwnBundle();
  if (!bundle) return Fail(Code::kUnavailable, kBundleMalformed, "no bundle yet");
  // An agent that polls holds what it was given.
  if (mask.x509_authorities && mask.jwt_authorities &&
      parts_.authorizer.CheckAgent(caller) == AgentDenial::kNone) {
    parts_.acknowledgements.Record(caller.id, revision);
  }
  return ToProto(*bundle, mask);
}

Result<types::Bundle> BundleService::Append(const Caller& caller, const AppendRequest& request) {
  if (request.x509_authorities().empty() && request.jwt_authorities().empty())
    return Invalid("no authorities to append");
  types::Bundle stated;
  *stated.mutable_x509_authorities() = request.x509_authorities();
  *stated.mutable_jwt_authorities() = request.jwt_authorities();
  SIGNET_TRY(const auto added, ReadBundle(stated, "authorities"));
  SIGNET_TRY(const auto bundle, parts_.registry.ChangeOwnBundle(
                                    [&](identity::Bundle& own) -> Status {
                                      AddAuthorities(added, own);
                                      return {};
                                    },
                                    caller.AsActor()));
  parts_.log.Info("authorities appended to the own bundle",
                  {{"sequence", bundle->sequence_number}, {"by", caller.Name()}});
  return ToProto(*bundle, OutputMask(request));
}

Result<BundleService::PublishResponse> BundleService::Publish(const Caller& caller,
                                                              const PublishRequest& request) {
  SIGNET_RETURN_IF_ERROR(parts_.publishing.Take(caller, 1));
  if (!request.has_jwt_authority()) return Invalid("missing JWT authority");
  identity::Bundle added;
  added.jwt_authorities.emplace_back();
  auto& authority = added.jwt_authorities.front();
  SIGNET_TRY(authority, JwtAuthorityFromProto(request.jwt_authority(), "invalid JWT authority"));
  // Upwards first: who verifies there must know it before anybody signs with it.
  SIGNET_RETURN_IF_ERROR(parts_.keeper.PublishAbove(authority));
  SIGNET_TRY(const auto bundle, parts_.registry.ChangeOwnBundle(
                                    [&](identity::Bundle& own) -> Status {
                                      AddAuthorities(added, own);
                                      return {};
                                    },
                                    caller.AsActor()));
  parts_.log.Info("JWT authority published by a downstream server",
                  {{"key_id", authority.key_id}, {"by", caller.Name()}});
  PublishResponse response;
  WriteJwtAuthorities(*bundle, response.mutable_jwt_authorities());
  return response;
}

Result<BundleService::ListResponse> BundleService::List(const ListRequest& request) const {
  const auto mask = OutputMask(request);
  const auto size = static_cast<std::size_t>(std::max(request.page_size(), 0));
  auto page =
      parts_.registry.ListFederatedBundles(size, size == 0 ? std::string() : request.page_token());
  // INTERNAL as SPIRE answers it.
  if (!page) return Fail(InContext("failed to list bundles", Code::kInternal, page.error()));
  ListResponse response;
  for (const auto& bundle : page->items) *response.add_bundles() = ToProto(*bundle, mask);
  response.set_next_page_token(page->next);
  return response;
}

Result<TrustDomain> BundleService::FederatedDomain(const std::string& name,
                                                   std::string_view verb) const {
  if (name.empty()) return Invalid("trust_domain: is missing");
  auto domain = TrustDomain::FromNameOrId(name);
  if (!domain) return Invalid("trust_domain: " + domain.error().Message());
  if (*domain == parts_.registry.trust_domain()) {
    return Invalid("trust_domain: " + std::string(verb) +
                   " the server's own trust domain is not allowed");
  }
  return domain;
}

Result<types::Bundle> BundleService::GetFederated(const GetFederatedRequest& request) const {
  SIGNET_TRY(const auto domain,
             FederatedDomain(request.trust_domain(), "getting a federated bundle for"));
  const auto bundle = parts_.registry.FindBundle(domain);
  if (!bundle) return Fail(Code::kNotFound, kFederatedBundleUnknown);
  return ToProto(*bundle, OutputMask(request));
}

Result<BundlePtr> BundleService::WriteOne(const Caller& caller, Write kind, const Bundle& proto,
                                          const types::BundleMask* input) {
  SIGNET_TRY(const auto domain,
             FederatedDomain(proto.trust_domain(), "writing a federated bundle for"));
  SIGNET_TRY(auto stated, ReadBundle(proto, "bundle"));
  const auto mask = MaskFromProto(input);
  return parts_.registry.ChangeFederatedBundle(
      domain,
      [&](identity::Bundle& bundle, bool exists) -> Status {
        if (kind == Write::kCreate && exists) return Fail(Code::kAlreadyExists, kBundleExists);
        if (kind == Write::kUpdate && !exists)
          return Fail(Code::kNotFound, kFederatedBundleUnknown);
        if (mask.x509_authorities) bundle.x509_authorities = std::move(stated.x509_authorities);
        if (mask.jwt_authorities) bundle.jwt_authorities = std::move(stated.jwt_authorities);
        if (mask.refresh_hint) bundle.refresh_hint = stated.refresh_hint;
        if (mask.sequence_number) bundle.sequence_number = stated.sequence_number;
        return {};
      },
      caller.AsActor());
}

Result<BundleService::DeleteResponse> BundleService::Delete(const Caller& caller,
                                                            const DeleteRequest& request) {
  SIGNET_TRY(const auto removal, RemovalFromProto(request.mode()));
  DeleteResponse response;
  for (const auto& name : request.trust_domains()) {
    auto* result = response.add_results();
    result->set_trust_domain(name);
    const auto domain = FederatedDomain(name, "removing the bundle of");
    const Status removed =
        domain ? parts_.registry.RemoveFederatedBundle(*domain, removal, caller.AsActor())
               : Status(Fail(domain.error()));
    *result->mutable_status() = ToProtoStatus(removed);
    if (!removed) continue;
    parts_.log.Info("federated bundle removed",
                    {{"trust_domain", domain->name()}, {"by", caller.Name()}});
  }
  return response;
}

}  // namespace signet::identity
