// What a server does by itself, in one thread: rotation of authorities, renewal of its own SVID,
// removal of what has expired, cutting of connections whose peer may not have one any more.
//
// Threads: its own; everything it is given is safe from any thread and outlives it.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/log.h"
#include "identity/api/caller.h"
#include "identity/api/log_keeper.h"
#include "identity/registry/prune.h"
#include "identity/registry/registry.h"
#include "identity/server/authority_keeper.h"
#include "identity/server/health_board.h"
#include "identity/server/server_identity.h"
#include "identity/server/system_watch.h"
#include "net/tls_front.h"

namespace signet::identity {

struct HousekeepingParts {
  Registry& registry;
  AuthorityKeeper& keeper;
  ServerIdentity& identity;
  LogKeeper& log_keeper;
  net::TlsFront& front;
  HealthBoard& health;
  std::string data_dir;
  std::function<void()> end_overdue_attestations;
  NodePruning node_pruning;
};

class Housekeeping {
 public:
  Housekeeping(const HousekeepingParts& parts, std::chrono::seconds ca_ttl, const Clock& clock,
               const Logger& log);
  ~Housekeeping();

  // Of the last turn; one that is long ago means a stuck thread.
  SteadyTime last_turn() const;

 private:
  void Run();
  void Turn(SteadyTime now);
  void Prune();
  Status PruneNodes();
  void Cut();
  bool IsStillTrusted(const VerifiedCaller& peer) const;
  bool MayStay(const VerifiedCaller& peer, std::set<std::string>* doubtful) const;

  const HousekeepingParts parts_;
  SystemWatch system_;
  const Duration tick_;
  const Clock& clock_;
  const Logger& log_;
  SteadyTime next_prune_;
  SteadyTime next_cut_;
  std::set<std::string>
      doubtful_;  // agents without standing at the last look; they had time to be told why

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  SteadyTime last_turn_;
  std::thread thread_;
};

}  // namespace signet::identity
