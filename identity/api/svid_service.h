// spire.api.server.svid.v1.SVID: X.509-SVIDs and JWT-SVIDs for agents (identity from the entry, key
// from the request) and for administrators (identity from the request).
//
// Threads: immutable after Register(). Calls of agents for one SVID begin on gRPC's threads, the
// others on the worker pool; what agents ask for is signed and answered from the signers' threads
// once it is recorded, so that nobody waits for the journal.
#pragma once

#include "identity/api/log_keeper.h"
#include "identity/api/rate_limiter.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "identity/server/issuer.h"
#include "identity/server/jwt_issuer.h"
#include "spire/api/server/svid/v1/svid.pb.h"

namespace signet::identity {

// Certificates a second and address, and so in one batch, as SPIRE's ratelimit.signing.
inline constexpr std::size_t kSigningRate = 500;

inline constexpr Reason kJwtDisabled{"JWT functionality is disabled"};
inline constexpr Reason kWitDisabled{"WIT functionality is disabled"};

class SvidService {
 public:
  // What it works with; all of it outlives the service.
  struct Parts {
    Registry& registry;
    const Issuer& issuer;
    const JwtIssuer* jwt_issuer;  // null: JWT-SVIDs are disabled
    RateLimiter& signing;
    RateLimiter& jwt_signing;
    RefusalLog& refusals;  // of single requests in calls that are answered
  };
  explicit SvidService(const Parts& parts)
      : registry_(parts.registry),
        issuer_(parts.issuer),
        jwt_issuer_(parts.jwt_issuer),
        signing_(parts.signing),
        jwt_signing_(parts.jwt_signing),
        refusals_(parts.refusals) {}
  void Register(Router* router);

 private:
  using JwtSvid = spire::api::types::JWTSVID;
  using MintJwtRequest = spire::api::server::svid::v1::MintJWTSVIDRequest;
  using NewJwtRequest = spire::api::server::svid::v1::NewJWTSVIDRequest;
  using BatchWitRequest = spire::api::server::svid::v1::BatchNewWITSVIDRequest;
  using BatchWitResponse = spire::api::server::svid::v1::BatchNewWITSVIDResponse;
  using BatchRequest = spire::api::server::svid::v1::BatchNewX509SVIDRequest;
  using BatchResponse = spire::api::server::svid::v1::BatchNewX509SVIDResponse;
  using MintRequest = spire::api::server::svid::v1::MintX509SVIDRequest;
  using MintResponse = spire::api::server::svid::v1::MintX509SVIDResponse;

  using DownstreamRequest = spire::api::server::svid::v1::NewDownstreamX509CARequest;
  using DownstreamResponse = spire::api::server::svid::v1::NewDownstreamX509CAResponse;

  // Called once with the answer, from any thread.
  template <class Response>
  using Then = std::function<void(Result<Response>)>;
  // A batch on its way: element i of `issues` answers into results(places[i]).
  struct Batch {
    BatchResponse response;
    std::vector<IssueRequest> issues;
    std::vector<int> places;
  };

  Result<Batch> CheckBatch(const Caller& caller, const BatchRequest& request) const;
  void BatchNew(const Caller& caller, const BatchRequest& request, Then<BatchResponse> then) const;
  Result<MintResponse> Mint(const Caller& caller, const MintRequest& request) const;
  Result<DownstreamResponse> NewDownstream(const Caller& caller,
                                           const DownstreamRequest& request) const;
  Result<JwtIssueRequest> CheckMintJwt(const Caller& caller, const MintJwtRequest& request) const;
  Result<JwtIssueRequest> CheckNewJwt(const Caller& caller, const NewJwtRequest& request) const;
  template <class Response>
  void IssueJwt(const Result<JwtIssueRequest>& request, Then<Response> then) const;
  Result<BatchWitResponse> BatchNewWit(const Caller& caller, const BatchWitRequest& request) const;
  void RegisterTokens(Router* router);
  EntryPtr FindAuthorized(const Caller& caller, const std::string& entry_id) const;
  Status CheckDnsNames(const SpiffeId& id, const std::vector<std::string>& names) const;

  Registry& registry_;
  const Issuer& issuer_;
  const JwtIssuer* const jwt_issuer_;
  RateLimiter& signing_;
  RateLimiter& jwt_signing_;
  RefusalLog& refusals_;
};

}  // namespace signet::identity
