// spire.api.server.bundle.v1.Bundle: the trust domain's own bundle, for anybody who asks, and what
// is added to it; and the bundles of the trust domains it federates with.
//
// Threads: immutable after Register(); methods run on the worker pool and wait for the database.
#pragma once

#include "base/log.h"
#include "identity/api/acknowledgements.h"
#include "identity/api/rate_limiter.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "spire/api/server/bundle/v1/bundle.pb.h"

namespace signet::identity {

inline constexpr Reason kBundleExists{"bundle already exists"};

class BundleService {
 public:
  // What it works with; all of it outlives the service.
  struct Parts {
    Registry& registry;
    AuthorityKeeper& keeper;
    const Authorizer& authorizer;
    Acknowledgements& acknowledgements;
    RateLimiter& publishing;
    const Logger& log;
  };
  explicit BundleService(const Parts& parts) : parts_(parts) {}
  void Register(Router* router);

 private:
  using Bundle = spire::api::types::Bundle;
  using GetRequest = spire::api::server::bundle::v1::GetBundleRequest;
  using AppendRequest = spire::api::server::bundle::v1::AppendBundleRequest;
  using PublishRequest = spire::api::server::bundle::v1::PublishJWTAuthorityRequest;
  using PublishResponse = spire::api::server::bundle::v1::PublishJWTAuthorityResponse;
  using ListRequest = spire::api::server::bundle::v1::ListFederatedBundlesRequest;
  using ListResponse = spire::api::server::bundle::v1::ListFederatedBundlesResponse;
  using GetFederatedRequest = spire::api::server::bundle::v1::GetFederatedBundleRequest;
  using DeleteRequest = spire::api::server::bundle::v1::BatchDeleteFederatedBundleRequest;
  using DeleteResponse = spire::api::server::bundle::v1::BatchDeleteFederatedBundleResponse;
  enum class Write { kCreate, kUpdate, kSet };

  void RegisterOwn(Router* router);
  void RegisterFederated(Router* router);
  template <Write kind, class Request, class Response>
  void RegisterWrite(Router* router, std::string_view name);
  Result<Bundle> Get(const Caller& caller, const GetRequest& request) const;
  Result<Bundle> Append(const Caller& caller, const AppendRequest& request);
  Result<PublishResponse> Publish(const Caller& caller, const PublishRequest& request);
  Result<ListResponse> List(const ListRequest& request) const;
  Result<Bundle> GetFederated(const GetFederatedRequest& request) const;
  // `input`: null for all fields; only kUpdate has one.
  Result<BundlePtr> WriteOne(const Caller& caller, Write kind, const Bundle& bundle,
                             const spire::api::types::BundleMask* input);
  Result<DeleteResponse> Delete(const Caller& caller, const DeleteRequest& request);
  Result<TrustDomain> FederatedDomain(const std::string& name, std::string_view verb) const;

  const Parts parts_;
};

}  // namespace signet::identity
