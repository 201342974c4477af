// What an agent says of itself: the values behind `signet agent status`.
#pragma once

#include <string>
#include <vector>

#include "agent/cache/mint_schedule.h"
#include "agent/endpoints/caller_table.h"
#include "agent/status/health.h"
#include "agent/sync/sync_worker.h"
#include "agent/workload/attestor_record.h"

namespace signet::agent {

struct NodeStatus {
  std::vector<HealthProblem> problems;  // the worst first
  identity::TrustDomain trust_domain;
  std::string agent_id;  // empty: not attested
  std::optional<WallTime> agent_svid_end;
  WallTime started_at;
  std::string server;
  SyncWorker::Mode mode = SyncWorker::Mode::kAway;
  std::uint64_t revision = 0;
  std::optional<WallTime> heard_at;
  std::size_t entries = 0;
  SvidCounts svids;
  std::vector<SvidStanding> listed;
  std::vector<std::string> bundles;  // trust domains
  std::size_t jwt_svids = 0;
  std::vector<AttestorRecord> attestors;
};

}  // namespace signet::agent
