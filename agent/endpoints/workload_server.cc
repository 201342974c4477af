#include "agent/endpoints/workload_server.h"

#include "agent/endpoints/health_service.h"
#include "agent/endpoints/reflection_service.h"
#include "agent/endpoints/sds_service.h"
#include "agent/endpoints/socket_server.h"
#include "agent/endpoints/workload_service.h"

namespace signet::agent {
namespace {

constexpr const char* kWorkloadApi = "SpiffeWorkloadAPI";
constexpr const char* kMesh = "signet.mesh.v1.Mesh";

std::vector<std::string> ServiceNames(const EndpointOptions& options) {
  std::vector<std::string> names = {kWorkloadApi, kMesh, kHealth, kReflectionV1,
                                    kReflectionV1Alpha};
  if (options.sds.enabled) names.push_back(kSecretDiscovery);
  return names;
}

}  // namespace

struct WorkloadServer::State {
  State(const EndpointParts& given, const EndpointOptions& options, const CallerLimits& limits)
      : parts(given),
        server(limits, parts.attestation.clock, parts.attestation.log, parts.attestation.metrics),
        gate(server.callers(), parts.attestation, parts.refusals),
        streams{parts.cache,
                hub,
                parts.interest,
                parts.attestation.pool,
                parts.attestation.clock,
                parts.want,
                [this](const grpc::Status& status) { parts.refusals.Count(status); }},
        workload_api(streams, gate, parts.jwts, parts.jwt_pool, options),
        sds(streams, gate, options.sds, parts.random, parts.attestation.log),
        reflection(gate, parts.attestation.pool, ServiceNames(options)) {
    workload_api.Register(&calls);
    if (options.sds.enabled) sds.Register(&calls);
    health.Register(&calls);
    reflection.Register(&calls);
  }

  const EndpointParts parts;
  SocketServer server;
  CallerGate gate;
  StreamHub hub;
  StreamContext streams;
  WorkloadService workload_api;
  SdsService sds;
  HealthService health;
  ReflectionService reflection;
  CallTable calls;
};

WorkloadServer::WorkloadServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<WorkloadServer>> WorkloadServer::Start(UniqueFd listener,
                                                              const EndpointParts& parts,
                                                              const EndpointOptions& options,
                                                              const CallerLimits& limits) {
  auto state = std::make_unique<State>(parts, options, limits);
  SIGNET_RETURN_IF_ERROR(state->server.Serve(std::move(listener), state->calls));
  CallerTable& callers = state->server.callers();
  Metrics& metrics = parts.attestation.metrics;
  metrics.GaugeFrom("signet_agent_workload_connections", "Open connections to the public socket",
                    [&callers] { return static_cast<double>(callers.connections()); });
  metrics.GaugeFrom("signet_agent_workload_streams", "Open calls on the public socket",
                    [&callers] { return static_cast<double>(callers.streams()); });
  return std::unique_ptr<WorkloadServer>(new WorkloadServer(std::move(state)));
}

WorkloadServer::~WorkloadServer() { Stop(); }

void WorkloadServer::Wake() { state_->hub.Wake(); }

void WorkloadServer::SetServing(bool serving) { state_->health.SetServing(serving); }

std::vector<ConnectedCaller> WorkloadServer::Connected() const {
  return state_->server.callers().Connected();
}

void WorkloadServer::Stop() {
  state_->server.StopAccepting();
  state_->hub.Stop();
  state_->server.Stop();
}

}  // namespace signet::agent
