// spire.api.server.localauthority.v1.LocalAuthority: the authorities of this server, and an
// operator's steps with them: prepare, activate, taint, revoke; the last two also for a root above.
// There are no WIT-SVIDs, so their methods refuse.
//
// Threads: immutable after Register(); methods run on the worker pool and wait for the database.
#pragma once

#include "identity/api/router.h"
#include "identity/server/authority_keeper.h"
#include "spire/api/server/localauthority/v1/localauthority.pb.h"

namespace signet::identity {

inline constexpr Reason kWitUnimplemented{"WIT-SVID functionality is not yet implemented"};

class LocalAuthorityService {
 public:
  LocalAuthorityService(AuthorityKeeper& keeper, bool jwt_enabled)
      : keeper_(keeper), jwt_enabled_(jwt_enabled) {}
  void Register(Router* router);

 private:
  void RegisterX509(Router* router);
  void RegisterJwt(Router* router);
  void RegisterUpstream(Router* router);
  void RegisterRefused(Router* router);
  // Fails with kJwtDisabled.
  Status CheckEnabled(std::string_view type) const;

  // As SPIRE's message for it.
  spire::api::server::localauthority::v1::AuthorityState StateOf(
      std::string_view type, const ca::AuthoritySlot& slot) const;

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
