#include "agent/workload/docker/docker_attestor.h"

#include <fmt/format.h>

#include <algorithm>

#include "net/local_http.h"

namespace signet::agent {
namespace {

constexpr int kOk = 200;
constexpr int kNotFound = 404;

}  // namespace

DockerAttestor::DockerAttestor(DockerAttestorOptions options, const Clock& clock,
                               GroupsReader read_groups)
    : options_(std::move(options)), clock_(clock), read_groups_(std::move(read_groups)) {}

bool DockerAttestor::IsTrue(const ContainerClaim& claim, const Container& container) const {
  if (container.id != claim.id || container.pid <= 0) return false;
  const auto first = net::ReadProcessCredentials(container.pid);
  if (!first) return false;
  const auto groups = read_groups_(container.pid);
  return groups && IsWithin(*groups, claim.hierarchy, claim.group) && net::IsAlive(*first);
}

Result<std::optional<Container>> DockerAttestor::Inspect(const ContainerClaim& claim,
                                                         SteadyTime deadline) const {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock_.SteadyNow());
  net::LocalQuery query;
  query.socket =
      claim.engine == EngineKind::kPodman ? options_.podman_socket : options_.docker_socket;
  query.target = fmt::format("/containers/{}/json", claim.id);
  query.max_body_bytes = kMaxContainerBytes;
  query.timeout = std::max(left, std::chrono::milliseconds(1));
  const auto answer = net::FetchLocal(query);
  if (!answer) return Fail(Code::kUnavailable, kEngineAway, answer.error().Message());
  if (answer->status == kNotFound) return std::optional<Container>();
  if (answer->status != kOk)
    return Fail(Code::kUnavailable, kEngineAway,
                fmt::format("{}: status {}", query.socket, answer->status));
  SIGNET_TRY(Container container, ParseContainer(answer->body));
  return std::optional(std::move(container));
}

Result<std::vector<identity::Selector>> DockerAttestor::Attest(const net::PeerCredentials& peer,
                                                               SteadyTime deadline) {
  SIGNET_TRY(const ControlGroups groups, read_groups_(peer.pid));
  std::vector<identity::Selector> none;
  const auto claim = ContainerOf(groups);
  if (!claim) return none;
  SIGNET_TRY(const auto container, Inspect(*claim, deadline));
  if (!container || !IsTrue(*claim, *container)) return none;
  return SelectorsOf(*container, options_.allowed_variables);
}

}  // namespace signet::agent
