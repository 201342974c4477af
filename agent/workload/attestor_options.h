// Which attestors of workloads are asked beside the unix one, as the configuration file says under
// `attestors`, and making them.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent/workload/docker/docker_attestor.h"
#include "agent/workload/workload_attestor.h"
#include "base/config.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

struct WorkloadAttestorOptions {
  Duration timeout = std::chrono::seconds(5);  // of each
  bool systemd = false;
  bool fragment_path = true;                    // with systemd: ask for the unit's file too
  std::optional<DockerAttestorOptions> docker;  // absent: containers are not looked at
};

// `attestors`: the map of that name. Reports to its problems.
WorkloadAttestorOptions ReadWorkloadAttestors(ConfigMap* attestors);

std::vector<std::unique_ptr<WorkloadAttestor>> MakeWorkloadAttestors(
    const WorkloadAttestorOptions& options, const Clock& clock, const Logger& log,
    Metrics& metrics);

}  // namespace signet::agent
