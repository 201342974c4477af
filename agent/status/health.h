// How well an agent is: good, warned (all is served, and something must be looked after before
// that ends), or failing (something that should be served is not). A decision over values.
//
// Threads: none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/cache/mint_schedule.h"
#include "base/clock.h"

namespace signet::agent {

enum class HealthLevel : std::uint8_t { kFailing, kWarning, kGood };

struct HealthProblem {
  HealthLevel level = HealthLevel::kFailing;
  std::string text;  // a sentence
};

struct HealthFacts {
  WallTime now;
  bool serving = false;  // the sockets are open
  bool synced = false;   // entries are known
  // Of the agent's own SVID; absent: not attested.
  std::optional<WallTime> node_not_before, node_not_after;
  std::optional<Duration> unheard;  // since the server last agreed; absent: never
  SvidCounts svids;
  std::size_t most_svids = 0;               // limits.svids
  std::vector<std::string> other_problems;  // of parts that know themselves; they warn
};

// The worst first; empty: good.
std::vector<HealthProblem> JudgeHealth(const HealthFacts& facts);
HealthLevel LevelOf(const std::vector<HealthProblem>& problems);

}  // namespace signet::agent
