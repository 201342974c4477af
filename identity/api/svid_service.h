// spire.api.server.svid.v1.SVID: X.509-SVIDs for agents (identity from the entry, key from the
// request) and for administrators (identity from the request).
//
// Threads: immutable after Register(); methods run on the worker pool and wait for the journal.
#pragma once

#include "identity/api/rate_limiter.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "identity/server/issuer.h"
#include "spire/api/server/svid/v1/svid.pb.h"

namespace signet::identity {

// Certificates a second and address, and so in one batch, as SPIRE's ratelimit.signing.
inline constexpr std::size_t kSigningRate = 500;

class SvidService {
 public:
  SvidService(Registry& registry, const Issuer& issuer, RateLimiter& signing)
      : registry_(registry), issuer_(issuer), signing_(signing) {}
  void Register(Router* router);

 private:
  using BatchRequest = spire::api::server::svid::v1::BatchNewX509SVIDRequest;
  using BatchResponse = spire::api::server::svid::v1::BatchNewX509SVIDResponse;
  using MintRequest = spire::api::server::svid::v1::MintX509SVIDRequest;
  using MintResponse = spire::api::server::svid::v1::MintX509SVIDResponse;

  Result<BatchResponse> BatchNew(const Caller& caller, const BatchRequest& request) const;
  Result<MintResponse> Mint(const Caller& caller, const MintRequest& request) const;
  Status CheckDnsNames(const SpiffeId& id, const std::vector<std::string>& names) const;

  Registry& registry_;
  const Issuer& issuer_;
  RateLimiter& signing_;
};

}  // namespace signet::identity
