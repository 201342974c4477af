#include "agent/endpoints/admin_socket.h"

#include "agent/endpoints/delegated_service.h"
#include "agent/endpoints/health_service.h"
#include "agent/endpoints/logger_service.h"
#include "agent/endpoints/node_service.h"
#include "agent/endpoints/socket_server.h"

namespace signet::agent {

struct AdminSocket::State {
  State(const EndpointParts& given, const EndpointOptions& options, const CallerLimits& limits,
        AdminFacts facts)
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
        delegated_identity(streams, gate, parts.jwts, parts.jwt_pool, options.authorized_delegates),
        debug(std::move(facts.figures), parts.attestation.clock),
        logger(parts.attestation.log),
        node(std::move(facts.status), [this, public_callers = std::move(facts.public_callers)] {
          return NodeService::Callers{public_callers(), server.callers().Connected()};
        }) {
    AttestationPool& pool = parts.attestation.pool;
    delegated_identity.Register(&calls);
    debug.Register(&calls, pool);
    logger.Register(&calls, pool);
    node.Register(&calls, pool);
    health.Register(&calls);
  }

  const EndpointParts parts;
  SocketServer server;
  CallerGate gate;
  StreamHub hub;
  StreamContext streams;
  DelegatedService delegated_identity;
  DebugService debug;
  LoggerService logger;
  NodeService node;
  HealthService health;
  CallTable calls;
};

AdminSocket::AdminSocket(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<AdminSocket>> AdminSocket::Start(UniqueFd listener,
                                                        const EndpointParts& parts,
                                                        const EndpointOptions& options,
                                                        const CallerLimits& limits,
                                                        AdminFacts facts) {
  auto state = std::make_unique<State>(parts, options, limits, std::move(facts));
  SIGNET_RETURN_IF_ERROR(state->server.Serve(std::move(listener), state->calls));
  return std::unique_ptr<AdminSocket>(new AdminSocket(std::move(state)));
}

AdminSocket::~AdminSocket() { Stop(); }

void AdminSocket::Wake() { state_->hub.Wake(); }

void AdminSocket::SetServing(bool serving) { state_->health.SetServing(serving); }

void AdminSocket::Stop() {
  state_->server.StopAccepting();
  state_->hub.Stop();
  state_->server.Stop();
}

}  // namespace signet::agent
