// signet.status.v1.Status: one look at the server's health and at the progress of a rotation.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include <functional>

#include "identity/api/router.h"
#include "identity/api/sync_hub.h"
#include "identity/registry/registry.h"
#include "identity/server/authority_keeper.h"
#include "net/admin_server.h"

namespace signet::identity {

class StatusService {
 public:
  StatusService(Registry& registry, const AuthorityKeeper& keeper, const SyncHub& hub,
                std::function<net::Health()> health, WallTime started_at,
                std::string listen_address)
      : registry_(registry),
        keeper_(keeper),
        hub_(hub),
        health_(std::move(health)),
        started_at_(started_at),
        listen_address_(std::move(listen_address)) {}
  void Register(Router* router);

 private:
  Registry& registry_;
  const AuthorityKeeper& keeper_;
  const SyncHub& hub_;
  const std::function<net::Health()> health_;
  const WallTime started_at_;
  const std::string listen_address_;
};

}  // namespace signet::identity
