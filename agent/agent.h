// The node agent, whole: its parts in the order they depend on one another, and their life from
// start to stop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "agent/attest/node_keeper.h"
#include "agent/cache/cache.h"
#include "agent/cache/minter.h"
#include "agent/config.h"
#include "agent/endpoints/endpoints.h"
#include "agent/files/files_keeper.h"
#include "agent/revocation/denial_board.h"
#include "agent/status/reporter.h"
#include "agent/sync/cache_store.h"
#include "agent/sync/jwt_client.h"
#include "agent/sync/server_clients.h"
#include "agent/sync/server_link.h"
#include "agent/sync/sync_worker.h"
#include "agent/workload/attestor_set.h"
#include "agent/workload/unix_attestor.h"
#include "net/admin_server.h"

namespace signet::agent {

// How signet-agent ends; documented in its --help.
enum class ExitCode : int {
  kClean = 0,
  kFailed = 1,
  kUsage = 2,
  kNotAttested = 3,  // the join token is wrong, used up or expired, or another proof was refused
  kDenied = 4,       // banned or evicted: everything held was erased
  kInUse = 5,        // data_dir or socket used by another process, or not usable
};

// The world around an agent.
struct AgentWorld {
  ServerDialer& dialer;
  const Clock& clock;
  Random& random;
  const Logger& log;
  Metrics& metrics;
};

class Agent {
 public:
  // Opens data_dir, which it holds locked. Fails with kAlreadyRunning among others; nothing is
  // overwritten then.
  static Result<std::unique_ptr<Agent>> Create(const AgentConfig& config, AgentWorld world);
  ~Agent();

  // Until Stop(), or until there is nothing left to do. `serving` is called once, when workloads
  // can connect.
  ExitCode Run(const std::function<void()>& serving = [] {});
  // From any thread.
  void Stop();

  net::Health health() const;

 private:
  struct Stores;
  Agent(const AgentConfig& config, AgentWorld world, Stores stores);
  Result<UniqueFd> Listen() const;
  Status OpenSocket();
  ExitCode EnsureAttested();
  void StartParts();
  void StopParts();
  void OnConnected();
  void OnRenewed();
  bool OnDenied(const Error& error);
  Status AttestAgain();
  void TakeDenials();
  bool Reattest();

  const AgentConfig config_;
  const AgentWorld world_;
  const FileLock lock_;
  const std::unique_ptr<NodeState> state_;
  Cache cache_;
  Interest interest_;
  CacheStore cache_store_;
  DenialBoard denials_;
  UnixAttestor unix_attestor_;
  AttestorSet attestors_;
  ServerLink link_;
  SpireNodeAuthority node_authority_;
  SpireSvidIssuer svid_issuer_;
  const std::unique_ptr<NodeAttestor> node_attestor_;
  NodeKeeper keeper_;
  Minter minter_;
  SyncWorker sync_;
  SpireJwtIssuer jwt_issuer_;
  JwtSource jwts_;
  FilesKeeper files_;
  Reporter reporter_;
  Endpoints endpoints_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool denied_ = false;
  bool opened_ = false;
};

}  // namespace signet::agent
