// AttestAgent of spire.api.server.agent.v1: a node's conversation with its attestor, and what
// follows when it has proven itself: the node is stored, and gets its SVID.
//
// Bounded: the message's size, the challenges and the time of one attestation, and how many wait
// for their node's answer.
//
// Threads: safe from any thread; streams run on the worker pool.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "base/log.h"
#include "identity/api/rate_limiter.h"
#include "identity/api/router.h"
#include "identity/attest/attestor.h"
#include "identity/registry/registry.h"
#include "identity/server/issuer.h"
#include "spire/api/server/agent/v1/agent.pb.h"

namespace signet::identity {

// AttestAgent calls a second and address. SPIRE makes whoever exceeds one wait; we refuse, so it is
// ten.
inline constexpr std::size_t kAttestationRate = 10;
// Attestations that wait for their node.
inline constexpr std::size_t kMaxWaitingAttestations = 4096;

// An SVID for `agent` over the key in `csr`, of which nothing else counts. Fails with
// INVALID_ARGUMENT when it is none, and as the issuer does.
Result<IssuedSvid> IssueAgentSvid(const Issuer& issuer, const Caller& caller, const SpiffeId& agent,
                                  ByteView csr);

class AttestAgent {
 public:
  // What it works with; all of it outlives the object.
  struct Parts {
    Registry& registry;
    const Issuer& issuer;
    const NodeAttestors& attestors;
    const Clock& clock;
    const Logger& log;
  };
  struct Settings {
    bool agent_id_selector = false;  // an attested agent gets the selector spiffe_id:<its ID>
    bool limit_attestation = true;
  };

  AttestAgent(const Parts& parts, const Settings& settings);

  void Register(Router* router);
  // One attestation.
  std::shared_ptr<StreamHandler> Open(std::shared_ptr<StreamCall> call);
  // Ends the attestations whose time is over. Call every second or so.
  void EndOverdue();

 private:
  using Params = spire::api::server::agent::v1::AttestAgentRequest::Params;
  using AttestResult = spire::api::server::agent::v1::AttestAgentResponse::Result;
  class Stream;

  Result<AttestResult> Join(const Caller& caller, const Params& params,
                            const NodeAttributes& attributes);
  Result<IssuedSvid> JoinByToken(const Caller& caller, const Params& params,
                                 const NodeAttributes& attributes);
  Result<IssuedSvid> JoinByProof(const Caller& caller, const Params& params,
                                 const NodeAttributes& attributes);
  Result<PreparedSvid> Prepare(const Caller& caller, const Params& params,
                               const NodeAttributes& attributes) const;
  Status CheckKnown(std::string_view type, const NodeAttributes& attributes) const;
  SelectorSet Selectors(std::string_view type, const NodeAttributes& attributes) const;
  Status Store(const Caller& caller, const Params& params, const NodeAttributes& attributes,
               const IssuedSvid& svid);

  // False: too many wait.
  bool StartWaiting(const StreamCall* call, std::weak_ptr<StreamCall> weak, SteadyTime until);
  void StopWaiting(const StreamCall* call);

  struct Waiting {
    std::weak_ptr<StreamCall> call;
    SteadyTime until;
  };

  const Parts parts_;
  const Settings settings_;
  RateLimiter rate_;
  std::mutex mutex_;
  std::map<const StreamCall*, Waiting> waiting_;
};

}  // namespace signet::identity
