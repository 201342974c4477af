// spire.api.server.agent.v1.Agent: nodes prove themselves (attest_agent.h), renew, and are listed,
// banned and deleted.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include "base/log.h"
#include "identity/api/attest_agent.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "identity/server/issuer.h"
#include "spire/api/server/agent/v1/agent.pb.h"

namespace signet::identity {

class Acknowledgements;

class AgentService {
 public:
  // What it works with; all of it outlives the service.
  struct Parts {
    Registry& registry;
    const Issuer& issuer;
    Acknowledgements& acknowledgements;
    const NodeAttestors& attestors;
    const Clock& clock;
    Random& random;
    const Logger& log;
  };

  AgentService(const Parts& parts, const AttestAgent::Settings& settings);

  void Register(Router* router);
  // Ends attestations whose node does not answer. Call every second or so.
  void EndOverdueAttestations() { attest_.EndOverdue(); }

 private:
  using ListRequest = spire::api::server::agent::v1::ListAgentsRequest;
  using ListResponse = spire::api::server::agent::v1::ListAgentsResponse;

  void RegisterForAdmins(Router* router);
  void RegisterForAgents(Router* router);
  Result<ListResponse> List(const ListRequest& request) const;
  Result<NodePtr> Find(const spire::api::types::SPIFFEID* id) const;
  Status Ban(const Caller& caller, const spire::api::types::SPIFFEID* id);
  Status Delete(const Caller& caller, const spire::api::types::SPIFFEID* id);
  Result<spire::api::types::JoinToken> CreateJoinToken(
      const Caller& caller, const spire::api::server::agent::v1::CreateJoinTokenRequest& request);
  Status CreateAlias(const Caller& caller, const SpiffeId& agent, const SpiffeId& alias);
  Result<spire::api::types::X509SVID> Renew(
      const Caller& caller, const spire::api::server::agent::v1::RenewAgentRequest& request);
  Status PostStatus(const Caller& caller,
                    const spire::api::server::agent::v1::PostStatusRequest& request);

  Registry& registry_;
  const Issuer& issuer_;
  Acknowledgements& acknowledgements_;
  const Clock& clock_;
  Random& random_;
  const Logger& log_;
  AttestAgent attest_;
};

}  // namespace signet::identity
