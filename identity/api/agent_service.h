// spire.api.server.agent.v1.Agent: nodes prove themselves, renew, and are listed, banned and
// deleted.
//
// Threads: immutable after Register(); methods run on the worker pool.
#pragma once

#include "base/log.h"
#include "identity/api/rate_limiter.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "identity/server/issuer.h"
#include "spire/api/server/agent/v1/agent.pb.h"

namespace signet::identity {

inline constexpr Reason kAttestationRefused{"attestation refused"};

class Acknowledgements;

// AttestAgent calls a second and address. SPIRE makes whoever exceeds one wait; we refuse, so it is
// ten.
inline constexpr std::size_t kAttestationRate = 10;

struct AgentServiceSettings {
  bool agent_id_selector = false;  // an attested agent gets the selector spiffe_id:<its ID>
  bool limit_attestation = true;
};

// The agent ID a join token leads to. It holds a digest: the ID is public, the token is not.
Result<SpiffeId> JoinTokenAgentId(const TrustDomain& trust_domain, std::string_view token);

class AgentService {
 public:
  // What it works with; all of it outlives the service.
  struct Parts {
    Registry& registry;
    const Issuer& issuer;
    Acknowledgements& acknowledgements;
    const Clock& clock;
    Random& random;
    const Logger& log;
  };

  AgentService(const Parts& parts, const AgentServiceSettings& settings);

  void Register(Router* router);

 private:
  using ListRequest = spire::api::server::agent::v1::ListAgentsRequest;
  using ListResponse = spire::api::server::agent::v1::ListAgentsResponse;
  using Attestation = spire::api::server::agent::v1::AttestAgentRequest::Params;
  class AttestHandler;

  void RegisterForAdmins(Router* router);
  void RegisterForAgents(Router* router);
  Result<ListResponse> List(const ListRequest& request) const;
  Result<NodePtr> Find(const spire::api::types::SPIFFEID* id) const;
  Status Ban(const Caller& caller, const spire::api::types::SPIFFEID* id);
  Status Delete(const Caller& caller, const spire::api::types::SPIFFEID* id);
  Result<spire::api::types::JoinToken> CreateJoinToken(
      const spire::api::server::agent::v1::CreateJoinTokenRequest& request);
  Status CreateAlias(const SpiffeId& agent, const SpiffeId& alias);
  Result<spire::api::types::X509SVID> Attest(const Caller& caller, const Attestation& attestation);
  Result<spire::api::types::X509SVID> Renew(
      const Caller& caller, const spire::api::server::agent::v1::RenewAgentRequest& request);
  Status PostStatus(const Caller& caller,
                    const spire::api::server::agent::v1::PostStatusRequest& request);
  Result<IssuedSvid> IssueAgentSvid(const Caller& caller, const SpiffeId& agent,
                                    ByteView csr) const;

  Registry& registry_;
  const Issuer& issuer_;
  Acknowledgements& acknowledgements_;
  const AgentServiceSettings settings_;
  const Clock& clock_;
  Random& random_;
  const Logger& log_;
  RateLimiter attestations_;
};

}  // namespace signet::identity
