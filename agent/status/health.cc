#include "agent/status/health.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/stable_sort.h"

namespace signet::agent {
namespace {

constexpr Duration kQuietTooLong = std::chrono::minutes(5);

class Findings {
 public:
  void Fail(std::string text) { found_.push_back({HealthLevel::kFailing, std::move(text)}); }
  void Warn(std::string text) { found_.push_back({HealthLevel::kWarning, std::move(text)}); }
  std::vector<HealthProblem> Take() {
    StableSortBy(found_, &HealthProblem::level);
    return std::move(found_);
  }

 private:
  std::vector<HealthProblem> found_;
};

void JudgeNode(const HealthFacts& facts, Findings* findings) {
  if (!facts.node_not_before || !facts.node_not_after)
    return findings->Fail("this node is not attested");
  const WallTime ends = *facts.node_not_after;
  if (ends <= facts.now)
    return findings->Fail("the agent's SVID has expired (" + FormatTime(ends) + ")");
  // Renewed at the half: with a quarter left it has been tried for long.
  if (ends - facts.now < (ends - *facts.node_not_before) / 4)
    findings->Warn("the agent's SVID was not renewed yet and ends " + FormatTime(ends));
}

void JudgeSvids(const HealthFacts& facts, Findings* findings) {
  const SvidCounts& svids = facts.svids;
  const std::string soonest =
      svids.soonest_end ? "; the first ends " + FormatTime(*svids.soonest_end) : "";
  if (svids.lost > 0)
    findings->Fail(fmt::format("X.509-SVIDs expired before they could be renewed: {}", svids.lost));
  if (svids.late > 0)
    findings->Warn(
        fmt::format("X.509-SVIDs should have been renewed by now: {}{}", svids.late, soonest));
  if (svids.refused > 0)
    findings->Warn(fmt::format("X.509-SVIDs could not be had so far: {}", svids.refused));
  if (svids.without_room > 0)
    findings->Warn(fmt::format("limits.svids ({}) is reached: {} entries have no SVID",
                               facts.most_svids, svids.without_room));
}

}  // namespace

std::vector<HealthProblem> JudgeHealth(const HealthFacts& facts) {
  Findings findings;
  JudgeNode(facts, &findings);
  if (!facts.serving) findings.Fail("the Workload API is not open");
  if (!facts.synced) findings.Fail("entries were never received");
  JudgeSvids(facts, &findings);
  if (facts.synced && !facts.unheard)
    findings.Warn("the server was not heard since the start; what was kept is served");
  if (facts.unheard && *facts.unheard > kQuietTooLong)
    findings.Warn("the server was last heard " + FormatDuration(*facts.unheard) + " ago");
  for (const std::string& problem : facts.other_problems) findings.Warn(problem);
  return findings.Take();
}

HealthLevel LevelOf(const std::vector<HealthProblem>& problems) {
  HealthLevel level = HealthLevel::kGood;
  for (const HealthProblem& problem : problems) level = std::min(level, problem.level);
  return level;
}

}  // namespace signet::agent
