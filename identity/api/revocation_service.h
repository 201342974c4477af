// signet.revocation.v1.Revocation: an administrator denies identities, serial numbers and agents,
// and takes denials back.
//
// Threads: immutable after Register(); methods run on the worker pool and wait for the database.
#pragma once

#include "base/log.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "signet/revocation/v1/revocation.pb.h"

namespace signet::identity {

class RevocationService {
 public:
  // Both outlive it.
  RevocationService(Registry& registry, const Logger& log) : registry_(registry), log_(log) {}
  void Register(Router* router);

 private:
  using RevokeRequest = signet::revocation::v1::RevokeRequest;
  using RevokeResponse = signet::revocation::v1::RevokeResponse;
  using RemoveRequest = signet::revocation::v1::RemoveDenialRequest;
  using RemoveResponse = signet::revocation::v1::RemoveDenialResponse;

  Result<RevokeResponse> Revoke(const Caller& caller, const RevokeRequest& request);
  Result<RemoveResponse> Remove(const Caller& caller, const RemoveRequest& request);

  Registry& registry_;
  const Logger& log_;
};

}  // namespace signet::identity
