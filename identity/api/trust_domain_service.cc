#include "identity/api/trust_domain_service.h"

#include <google/protobuf/empty.pb.h>

#include <algorithm>

#include "identity/api/convert_federation.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

namespace types = spire::api::types;

std::string Path(std::string_view name) {
  return "/spire.api.server.trustdomain.v1.TrustDomain/" + std::string(name);
}

template <class Request>
const types::FederationRelationshipMask* OutputMask(const Request& request) {
  return request.has_output_mask() ? &request.output_mask() : nullptr;
}

}  // namespace

void TrustDomainService::Register(Router* router) {
  router->AddUnary(
      Path("ListFederationRelationships"),
      Unary<ListRequest, ListResponse>(
          [this](const Caller&, const ListRequest& request) { return List(request); }));
  router->AddUnary(Path("GetFederationRelationship"),
                   Unary<GetRequest, Relationship>(
                       [this](const Caller&, const GetRequest& request) { return Get(request); }));
  router->AddUnary(Path("BatchCreateFederationRelationship"),
                   Unary<CreateRequest, CreateResponse>(
                       [this](const Caller& caller, const CreateRequest& request) {
                         return Create(caller, request);
                       }));
  router->AddUnary(Path("BatchUpdateFederationRelationship"),
                   Unary<UpdateRequest, UpdateResponse>(
                       [this](const Caller& caller, const UpdateRequest& request) {
                         return Update(caller, request);
                       }));
  router->AddUnary(Path("BatchDeleteFederationRelationship"),
                   Unary<DeleteRequest, DeleteResponse>(
                       [this](const Caller& caller, const DeleteRequest& request) {
                         return Delete(caller, request);
                       }));
  router->AddUnary(Path("RefreshBundle"),
                   Unary<RefreshRequest, google::protobuf::Empty>(
                       [this](const Caller& caller,
                              const RefreshRequest& request) -> Result<google::protobuf::Empty> {
                         SIGNET_RETURN_IF_ERROR(Refresh(caller, request));
                         return google::protobuf::Empty();
                       }));
}

void TrustDomainService::Log(std::string_view what, const std::string& trust_domain,
                             const Caller& caller) const {
  parts_.log.Info(what, {{"trust_domain", trust_domain}, {"by", caller.Name()}});
}

types::FederationRelationship TrustDomainService::ToProto(
    const FederationRelationship& relationship,
    const types::FederationRelationshipMask* output) const {
  const BundlePtr bundle = parts_.registry.FindBundle(relationship.trust_domain);
  Relationship proto;
  WriteRelationship(relationship, bundle.get(), MaskFromProto(output), &proto);
  return proto;
}

Result<TrustDomainService::ListResponse> TrustDomainService::List(
    const ListRequest& request) const {
  const auto size = static_cast<std::size_t>(std::max(request.page_size(), 0));
  auto page = parts_.registry.ListRelationships(size, request.page_token());
  // INTERNAL as SPIRE answers it.
  if (!page) {
    return Fail(
        InContext("failed to list federation relationships", Code::kInternal, page.error()));
  }
  ListResponse response;
  for (const RelationshipPtr& relationship : page->items) {
    *response.add_federation_relationships() = ToProto(*relationship, OutputMask(request));
  }
  response.set_next_page_token(page->next);
  return response;
}

Result<types::FederationRelationship> TrustDomainService::Get(const GetRequest& request) const {
  SIGNET_TRY(const TrustDomain domain, TrustDomainFromProto(request.trust_domain()));
  const RelationshipPtr relationship = parts_.registry.FindRelationship(domain);
  if (relationship == nullptr) return Fail(Code::kNotFound, kRelationshipUnknown);
  return ToProto(*relationship, OutputMask(request));
}

Result<types::FederationRelationship> TrustDomainService::CreateOne(
    const Caller& caller, const Relationship& proto,
    const types::FederationRelationshipMask* output) {
  auto stated = ReadRelationship(proto, {});
  if (!stated) {
    return Fail(InContext("failed to convert federation relationship", Code::kInvalidArgument,
                          stated.error()));
  }
  if (stated->relationship.trust_domain == parts_.registry.trust_domain()) {
    return Fail(Code::kInvalidArgument, kFieldInvalid,
                "unable to create federation relationship for server trust domain");
  }
  const std::optional<Bundle> bundle = stated->bundle;
  auto created = parts_.registry.CreateRelationship(std::move(stated->relationship),
                                                    std::move(stated->bundle), caller.AsActor());
  if (!created) {
    // INTERNAL also when it is there already, as SPIRE answers it.
    return Fail(
        InContext("failed to create federation relationship", Code::kInternal, created.error()));
  }
  // What was created, so without a bundle that was known before.
  Relationship answer;
  WriteRelationship(**created, bundle ? &*bundle : nullptr, MaskFromProto(output), &answer);
  return answer;
}

Result<TrustDomainService::CreateResponse> TrustDomainService::Create(
    const Caller& caller, const CreateRequest& request) {
  CreateResponse response;
  for (const Relationship& proto : request.federation_relationships()) {
    auto* result = response.add_results();
    auto created = CreateOne(caller, proto, OutputMask(request));
    *result->mutable_status() = ToProtoStatus(created ? Status() : Fail(created.error()));
    if (!created) continue;
    Log("federation relationship created", created->trust_domain(), caller);
    *result->mutable_federation_relationship() = *std::move(created);
  }
  return response;
}

Result<types::FederationRelationship> TrustDomainService::UpdateOne(const Caller& caller,
                                                                    const Relationship& proto,
                                                                    const UpdateRequest& request) {
  const RelationshipMask mask =
      MaskFromProto(request.has_input_mask() ? &request.input_mask() : nullptr);
  auto stated = ReadRelationship(proto, mask);
  if (!stated) {
    return Fail(InContext("failed to convert federation relationship", Code::kInvalidArgument,
                          stated.error()));
  }
  const FederationRelationship& next = stated->relationship;
  auto changed = parts_.registry.ChangeRelationship(
      next.trust_domain,
      [&](FederationRelationship& relationship) {
        if (mask.url) relationship.url = next.url;
        if (!mask.profile) return;
        relationship.profile = next.profile;
        relationship.endpoint_id = next.endpoint_id;
      },
      std::move(stated->bundle), caller.AsActor());
  if (!changed) {
    // INTERNAL also when there is none, as SPIRE answers it.
    return Fail(
        InContext("failed to update federation relationship", Code::kInternal, changed.error()));
  }
  return ToProto(**changed, OutputMask(request));
}

Result<TrustDomainService::UpdateResponse> TrustDomainService::Update(
    const Caller& caller, const UpdateRequest& request) {
  UpdateResponse response;
  for (const Relationship& proto : request.federation_relationships()) {
    auto* result = response.add_results();
    auto updated = UpdateOne(caller, proto, request);
    *result->mutable_status() = ToProtoStatus(updated ? Status() : Fail(updated.error()));
    if (!updated) continue;
    Log("federation relationship updated", updated->trust_domain(), caller);
    *result->mutable_federation_relationship() = *std::move(updated);
  }
  return response;
}

Result<TrustDomainService::DeleteResponse> TrustDomainService::Delete(
    const Caller& caller, const DeleteRequest& request) {
  DeleteResponse response;
  for (const std::string& name : request.trust_domains()) {
    auto* result = response.add_results();
    const auto domain = TrustDomainFromProto(name);
    result->set_trust_domain(domain ? domain->name() : name);
    const Status removed = domain ? parts_.registry.RemoveRelationship(*domain, caller.AsActor())
                                  : Status(Fail(domain.error()));
    *result->mutable_status() = ToProtoStatus(removed);
    if (removed) Log("federation relationship removed", domain->name(), caller);
  }
  return response;
}

Status TrustDomainService::Refresh(const Caller& caller, const RefreshRequest& request) {
  SIGNET_TRY(const TrustDomain domain, TrustDomainFromProto(request.trust_domain()));
  const Status refreshed = parts_.refresher.Refresh(domain);
  if (refreshed) {
    Log("bundle refreshed on command", domain.name(), caller);
    return {};
  }
  const Error& error = refreshed.error();
  if (error.reason == kRelationshipUnknown) {
    return Fail(Code::kNotFound, kRelationshipUnknown,
                "no relationship with trust domain \"" + domain.name() + "\"");
  }
  return Fail(InContext("failed to refresh bundle", Code::kInternal, error));
}

}  // namespace signet::identity
