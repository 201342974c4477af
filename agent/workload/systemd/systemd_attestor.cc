#include "agent/workload/systemd/systemd_attestor.h"

#include <algorithm>

#include "agent/workload/control_groups.h"

namespace signet::agent {
namespace {

constexpr std::uint32_t kLinesPerSecond = 1;

identity::Selector Systemd(std::string_view name, const std::string& value) {
  return {"systemd", std::string(name) + ":" + value};
}

}  // namespace

SystemdAttestor::SystemdAttestor(std::unique_ptr<UnitFiles> files, const Clock& clock,
                                 const Logger& log, Metrics& metrics)
    : files_(std::move(files)),
      clock_(clock),
      log_(log),
      lines_(clock, kLinesPerSecond),
      omitted_(metrics.Counter("signet_agent_attestation_unit_files_omitted_total",
                               "Callers whose systemd:fragment_path could not be learned")) {}

Result<std::vector<identity::Selector>> SystemdAttestor::Attest(const net::PeerCredentials& peer,
                                                                SteadyTime deadline) {
  SIGNET_TRY(const ControlGroups groups, ReadControlGroups(peer.pid));
  std::vector<identity::Selector> selectors;
  const auto unit = UnitOf(groups);
  if (!unit) return selectors;
  selectors.push_back(Systemd("id", unit->id));
  selectors.push_back(Systemd("slice", unit->slice));
  if (files_) AddFragmentPath(unit->id, deadline, &selectors);
  return selectors;
}

void SystemdAttestor::AddFragmentPath(const std::string& unit, SteadyTime deadline,
                                      std::vector<identity::Selector>* selectors) {
  // A little sooner than the deadline, so that the rest is still told in time.
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
      (deadline - clock_.SteadyNow()) * 3 / 4);
  const auto path = left.count() > 0 ? files_->FragmentPath(unit, left)
                                     : Result<std::string>(Fail(Code::kUnavailable, kBusAway));
  if (path && !path->empty()) selectors->push_back(Systemd("fragment_path", *path));
  if (path) return;
  omitted_.Add();
  if (const auto left_out = lines_.Admit())
    log_.Warn(
        "systemd:fragment_path is left out",
        {{"unit", unit}, {"error", path.error().Message()}, {"not_listed_before", *left_out}});
}

}  // namespace signet::agent
