// Which unit of systemd a process belongs to, as SPIRE's selectors systemd:id and
// systemd:fragment_path, and systemd:slice beside them.
//
// The unit comes from the control group, which the process cannot choose; systemd is asked only for
// the file. When it does not answer, systemd:fragment_path is left out, counted and logged: the
// rest stands.
//
// Threads: safe from any thread.
#pragma once

#include <memory>

#include "agent/workload/systemd/unit_files.h"
#include "agent/workload/workload_attestor.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/metrics.h"

namespace signet::agent {

class SystemdAttestor final : public WorkloadAttestor {
 public:
  // `files` null: systemd:fragment_path is not given.
  SystemdAttestor(std::unique_ptr<UnitFiles> files, const Clock& clock, const Logger& log,
                  Metrics& metrics);

  std::string_view name() const override { return "systemd"; }
  // Fails with kControlGroupsUnreadable.
  Result<std::vector<identity::Selector>> Attest(const net::PeerCredentials& peer,
                                                 SteadyTime deadline) override;

 private:
  void AddFragmentPath(const std::string& unit, SteadyTime deadline,
                       std::vector<identity::Selector>* selectors);

  const std::unique_ptr<UnitFiles> files_;
  const Clock& clock_;
  const Logger& log_;
  LogLimiter lines_;
  Counter& omitted_;
};

}  // namespace signet::agent
