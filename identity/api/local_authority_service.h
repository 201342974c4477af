// spire.api.server.localauthority.v1.LocalAuthority: the authorities of this server, and an
// operator's steps with them: prepare, activate, taint, revoke. There is no upstream authority and
// there are no WIT-SVIDs, so their methods refuse.
//
// Threads: immutable after Register(); methods run on the worker pool and wait for the database.
#pragma once

#include "identity/api/router.h"
#include "identity/server/authority_keeper.h"

namespace signet::identity {

inline constexpr Reason kWitUnimplemented{"WIT-SVID functionality is not yet implemented"};
inline constexpr Reason kNoUpstreamAuthority{"upstream authority is not configured"};

inline constexpr Reason kUpstreamKept{
    "roots of an upstream authority stay in the trust bundle until they end"};

class LocalAuthorityService {
 public:
  LocalAuthorityService(AuthorityKeeper& keeper, bool jwt_enabled)
      : keeper_(keeper), jwt_enabled_(jwt_enabled) {}
  void Register(Router* router);

 private:
  void RegisterX509(Router* router);
  void RegisterJwt(Router* router);
  void RegisterRefused(Router* router);
  // Fails with kJwtDisabled.
  Status CheckEnabled(std::string_view type) const;

  template <class Request, class Response>
  UnaryHandler Show(std::string_view type);
  template <class Request, class Response>
  UnaryHandler Prepare(std::string_view type);
  template <class Request, class Response>
  UnaryHandler Activate(std::string_view type);
  template <class Request, class Response>
  UnaryHandler Taint(std::string_view type);
  template <class Request, class Response>
  UnaryHandler Revoke(std::string_view type);

  AuthorityKeeper& keeper_;
  const bool jwt_enabled_;
};

}  // namespace signet::identity
