// Where a process stands among the control groups (cgroups(7), /proc/PID/cgroup), and what systemd
// and container engines mean by the names they give to groups.
//
// Whoever holds a delegated subtree (a user's manager, a container) names the groups in it at will:
// so a unit is the outermost one of a path, and a container's id is a claim until its engine has
// been asked (docker_attestor.h).
//
// Threads: none.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/peer_credentials.h"

namespace signet::agent {

inline constexpr Reason kControlGroupsUnreadable{"control groups cannot be read"};

struct ControlGroup {
  std::string hierarchy;  // controllers, or "name=systemd"; empty: the unified one (version 2)
  std::string path;       // "/system.slice/nginx.service"
};
using ControlGroups = std::vector<ControlGroup>;

// At most 64 lines of at most 4,096 bytes, no hierarchy twice: else different readers could mean
// different groups. Fails with kControlGroupsUnreadable. Paths that lead out of the reader's own
// root ("/../x") are kept: they have no unit.
Result<ControlGroups> ParseControlGroups(std::string_view text);
// Of a process that the caller of this keeps from being mistaken for another (workload_attestor.h).
// Fails with kControlGroupsUnreadable.
Result<ControlGroups> ReadControlGroups(pid_t pid);

// As systemd has it: the first part below the slices that is a unit's name.
struct SystemdUnit {
  std::string id;     // "nginx.service", "user@1000.service", "session-2.scope"
  std::string slice;  // "system.slice"; "-.slice": at the root
};
// Absent when the process belongs to no unit.
std::optional<SystemdUnit> UnitOf(const ControlGroups& groups);

enum class EngineKind { kDocker, kPodman };

struct ContainerClaim {
  EngineKind engine = EngineKind::kDocker;
  std::string id;         // 64 hexadecimal digits, in small letters
  std::string hierarchy;  // where the claim was found
  std::string group;      // the container's own group there: the path up to the id
};
// Absent when no group is named for a container, or groups are named for several: then it cannot be
// said which. Groups below a user's slice are no container of an engine of the system's.
std::optional<ContainerClaim> ContainerOf(const ControlGroups& groups);
// Whether a process with `groups` is in `group` of that hierarchy, or below it.
bool IsWithin(const ControlGroups& groups, std::string_view hierarchy, std::string_view group);

}  // namespace signet::agent
