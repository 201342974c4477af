// spire.api.server.svid.v1.SVID: X.509-SVIDs and JWT-SVIDs for agents (identity from the entry, key
// from the request) and for administrators (identity from the request).
//
// Threads: immutable after Register(); methods run on the worker pool and wait for the journal.
#pragma once

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
  };
  explicit SvidService(const Parts& parts)
      : registry_(parts.registry),
        issuer_(parts.issuer),
        jwt_issuer_(parts.jwt_issuer),
        signing_(parts.signing),
        jwt_signing_(parts.jwt_signing) {}
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

  Result<BatchResponse> BatchNew(const Caller& caller, const BatchRequest& request) const;
  Result<MintResponse> Mint(const Caller& caller, const MintRequest& request) const;
  Result<DownstreamResponse> NewDownstream(const Caller& caller,
                                           const DownstreamRequest& request) const;
  Result<JwtSvid> MintJwt(const Caller& caller, const MintJwtRequest& request) const;
  Result<JwtSvid> NewJwt(const Caller& caller, const NewJwtRequest& request) const;
  Result<JwtSvid> IssueJwt(const JwtIssueRequest& request) const;
  Result<BatchWitResponse> BatchNewWit(const Caller& caller, const BatchWitRequest& request) const;
  void RegisterTokens(Router* router);
  // An agent's call may have waited for a worker since it was authorized.
  Status CheckStillAttested(const Caller& caller) const;
  EntryPtr FindAuthorized(const Caller& caller, const std::string& entry_id) const;
  Status CheckDnsNames(const SpiffeId& id, const std::vector<std::string>& names) const;

  Registry& registry_;
  const Issuer& issuer_;
  const JwtIssuer* const jwt_issuer_;
  RateLimiter& signing_;
  RateLimiter& jwt_signing_;
};

}  // namespace signet::identity
