// signet.status.v1.Status: one look at the server's health and at the progress of a
// rotation.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include <functional>

#include "identity/api/router.h"
#include "identity/api/sync_hub.h"
#include "identity/registry/registry.h"
#include "identity/server/authority_keeper.h"
#include "net/admin_server.h"

namespace signet::status::v1 {
class GetStatusResponse;
class GetRotationResponse;
}  // namespace signet::status::v1

namespace signet::identity {

inline constexpr Reason kAuthorityTypeUnknown{"unknown kind of authority"};

class StatusService {
 public:
  struct Parts {
    Registry& registry;
    const AuthorityKeeper& keeper;
    const SyncHub& hub;
    Store& store;
    const Clock& clock;
    std::function<net::Health()> health;
    WallTime started_at;
    std::string listen_address;
  };
  explicit StatusService(Parts parts) : parts_(std::move(parts)) {}
  void Register(Router* router);

 private:
  Result<signet::status::v1::GetStatusResponse> GetStatus() const;
  Result<signet::status::v1::GetRotationResponse> GetRotation(const std::string& type) const;
  bool IsRenewed(const CurrentSvid& svid) const;

  const Parts parts_;
};

}  // namespace signet::identity
