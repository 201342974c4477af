#include "agent/workload/attestor_options.h"

#include <sys/un.h>

#include "agent/workload/systemd/systemd_attestor.h"

namespace signet::agent {
namespace {

constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

std::string ReadSocketPath(ConfigMap* map, const char* key, const std::string& fallback) {
  std::string path = map->String(key, fallback);
  if (path.starts_with("unix:")) path.erase(0, 5);
  if (path.starts_with("//")) path.erase(0, 2);
  if (!path.starts_with('/') || path.size() > kMaxSocketPath)
    map->Problem(key, "not the path of a Unix socket: " + path,
                 "an absolute path of at most " + std::to_string(kMaxSocketPath) +
                     " bytes, such as " + fallback);
  return path;
}

DockerAttestorOptions ReadDocker(ConfigMap* map) {
  DockerAttestorOptions options;
  options.docker_socket = ReadSocketPath(map, "docker_socket_path", options.docker_socket);
  options.podman_socket = ReadSocketPath(map, "podman_socket_path", options.podman_socket);
  for (const ConfigScalar& name : map->Scalars("env")) {
    if (name.text.empty() || name.text.find('=') != name.text.npos)
      map->ProblemAtLine(name.line, "not the name of a variable: " + name.text,
                         "such as ENVIRONMENT");
    options.allowed_variables.insert(name.text);
  }
  return options;
}

}  // namespace

WorkloadAttestorOptions ReadWorkloadAttestors(ConfigMap* attestors) {
  WorkloadAttestorOptions options;
  options.timeout = attestors->Duration("timeout", options.timeout, std::chrono::milliseconds(10),
                                        std::chrono::minutes(1));
  if (auto systemd = attestors->Map("systemd")) {
    options.systemd = true;
    options.fragment_path = systemd->Bool("fragment_path", options.fragment_path);
    systemd->Finish();
  }
  if (auto docker = attestors->Map("docker")) {
    options.docker = ReadDocker(&*docker);
    docker->Finish();
  }
  return options;
}

std::vector<std::unique_ptr<WorkloadAttestor>> MakeWorkloadAttestors(
    const WorkloadAttestorOptions& options, const Clock& clock, const Logger& log,
    Metrics& metrics) {
  std::vector<std::unique_ptr<WorkloadAttestor>> attestors;
  if (options.systemd)
    attestors.push_back(std::make_unique<SystemdAttestor>(
        options.fragment_path ? MakeBusUnitFiles() : nullptr, clock, log, metrics));
  if (options.docker) attestors.push_back(std::make_unique<DockerAttestor>(*options.docker, clock));
  return attestors;
}

}  // namespace signet::agent
