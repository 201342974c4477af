// Looks at the parts of the agent and tells how it is: health, figures, the status of
// `signet agent status`, and the gauges of what is held.
//
// Threads: safe from any thread, once the parts are there.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/attest/node_state.h"
#include "agent/cache/cache.h"
#include "agent/cache/minter.h"
#include "agent/endpoints/debug_service.h"
#include "agent/jwt/jwt_source.h"
#include "agent/status/node_status.h"
#include "agent/sync/cache_store.h"
#include "agent/sync/sync_worker.h"
#include "net/admin_server.h"

namespace signet::agent {

// All of it outlives the reporter.
struct ReportedParts {
  const NodeState& state;
  const Cache& cache;
  const CacheStore& cache_store;
  const Minter& minter;
  const SyncWorker& sync;
  const JwtSource& jwts;
  std::function<std::vector<AttestorRecord>()> attestors;
  std::function<std::vector<std::string>()> file_problems;
  const Clock& clock;
};

class Reporter {
 public:
  // `server`: its address, to be shown; `most_svids`: limits.svids.
  Reporter(ReportedParts parts, std::string server, std::size_t most_svids);

  // Whether the sockets are open.
  void SetServing(bool serving) { serving_ = serving; }
  net::Health Health() const;
  AgentFigures Figures() const;
  NodeStatus Status() const;
  // Gauges that look at the parts when they are scraped. Call once.
  void ExportMetrics(Metrics* metrics) const;

 private:
  std::vector<HealthProblem> Judge() const;
  // Not older than a moment: several gauges are scraped at once, and each count looks at all.
  SvidCounts Count() const;
  std::optional<Duration> Unheard() const;
  void ExportSvids(Metrics* metrics) const;
  void ExportSync(Metrics* metrics) const;

  const ReportedParts parts_;
  const std::string server_;
  const std::size_t most_svids_;
  const WallTime started_at_;
  std::atomic<bool> serving_{false};
  mutable std::mutex mutex_;  // guards what follows
  mutable std::optional<SteadyTime> counted_at_;
  mutable SvidCounts counted_;
};

}  // namespace signet::agent
