// What the container a process runs in is, as SPIRE's docker selectors: docker:label,
// docker:image_id, docker:image_config_digest, docker:env. Docker's engine is asked, or Podman's,
// by whose container it is.
//
// The name of a control group is only a claim: whoever holds a delegated subtree could name a group
// for somebody else's container. It is believed when the engine says the container runs, and its
// first process stands in the very group that was named.
//
// Threads: safe from any thread.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>

#include "agent/workload/control_groups.h"
#include "agent/workload/docker/container.h"
#include "agent/workload/workload_attestor.h"

namespace signet::agent {

inline constexpr Reason kEngineAway{"the container engine does not answer"};

struct DockerAttestorOptions {
  std::string docker_socket = "/var/run/docker.sock";
  std::string podman_socket = "/run/podman/podman.sock";  // of the system's, not of a user's
  std::set<std::string, std::less<>> allowed_variables;   // of which docker:env tells
};

// Process to control groups: ReadControlGroups() in programs.
using GroupsReader = std::function<Result<ControlGroups>(pid_t)>;

class DockerAttestor final : public WorkloadAttestor {
 public:
  DockerAttestor(DockerAttestorOptions options, const Clock& clock,
                 GroupsReader read_groups = ReadControlGroups);

  std::string_view name() const override { return "docker"; }
  // No selectors: it runs in no container, in one that its engine does not know, or in a group that
  // is not that container's. Fails with kControlGroupsUnreadable, kEngineAway, kContainerMalformed.
  Result<std::vector<identity::Selector>> Attest(const net::PeerCredentials& peer,
                                                 SteadyTime deadline) override;

 private:
  // Absent: the engine knows no such container.
  Result<std::optional<Container>> Inspect(const ContainerClaim& claim, SteadyTime deadline) const;
  // Whether the container's first process stands in the group that the claim was made from.
  bool IsTrue(const ContainerClaim& claim, const Container& container) const;

  const DockerAttestorOptions options_;
  const Clock& clock_;
  const GroupsReader read_groups_;
};

}  // namespace signet::agent
