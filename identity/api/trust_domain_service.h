// spire.api.server.trustdomain.v1.TrustDomain: with whom this trust domain federates, and fetching
// a foreign bundle at once.
//
// Threads: immutable after Register(); methods run on the worker pool and wait for the database,
// RefreshBundle for the endpoint.
#pragma once

#include "base/log.h"
#include "identity/api/router.h"
#include "identity/federation/bundle_refresher.h"
#include "identity/registry/registry.h"
#include "spire/api/server/trustdomain/v1/trustdomain.pb.h"

namespace signet::identity {

class TrustDomainService {
 public:
  // What it works with; all of it outlives the service.
  struct Parts {
    Registry& registry;
    BundleRefresher& refresher;
    const Logger& log;
  };
  explicit TrustDomainService(const Parts& parts) : parts_(parts) {}
  void Register(Router* router);

 private:
  using Relationship = spire::api::types::FederationRelationship;
  using ListRequest = spire::api::server::trustdomain::v1::ListFederationRelationshipsRequest;
  using ListResponse = spire::api::server::trustdomain::v1::ListFederationRelationshipsResponse;
  using GetRequest = spire::api::server::trustdomain::v1::GetFederationRelationshipRequest;
  using CreateRequest =
      spire::api::server::trustdomain::v1::BatchCreateFederationRelationshipRequest;
  using CreateResponse =
      spire::api::server::trustdomain::v1::BatchCreateFederationRelationshipResponse;
  using UpdateRequest =
      spire::api::server::trustdomain::v1::BatchUpdateFederationRelationshipRequest;
  using UpdateResponse =
      spire::api::server::trustdomain::v1::BatchUpdateFederationRelationshipResponse;
  using DeleteRequest =
      spire::api::server::trustdomain::v1::BatchDeleteFederationRelationshipRequest;
  using DeleteResponse =
      spire::api::server::trustdomain::v1::BatchDeleteFederationRelationshipResponse;
  using RefreshRequest = spire::api::server::trustdomain::v1::RefreshBundleRequest;

  Result<ListResponse> List(const ListRequest& request) const;
  Result<Relationship> Get(const GetRequest& request) const;
  Result<CreateResponse> Create(const Caller& caller, const CreateRequest& request);
  Result<Relationship> CreateOne(const Caller& caller, const Relationship& proto,
                                 const spire::api::types::FederationRelationshipMask* output);
  Result<UpdateResponse> Update(const Caller& caller, const UpdateRequest& request);
  Result<Relationship> UpdateOne(const Caller& caller, const Relationship& proto,
                                 const UpdateRequest& request);
  Result<DeleteResponse> Delete(const Caller& caller, const DeleteRequest& request);
  Status Refresh(const Caller& caller, const RefreshRequest& request);
  // With the bundle that is known of it now.
  Relationship ToProto(const FederationRelationship& relationship,
                       const spire::api::types::FederationRelationshipMask* output) const;
  void Log(std::string_view what, const std::string& trust_domain, const Caller& caller) const;

  const Parts parts_;
};

}  // namespace signet::identity
