// Gets the node its identity and keeps it: attestation when nothing is stored, then renewal with
// the current SVID at half of its life, each time with a new key; by attestation again where the
// server wants that.
//
// Threads: one of its own between Start() and Stop(), for renewals; everything public is safe from
// any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/attest/denial.h"
#include "agent/attest/node_attestor.h"
#include "agent/attest/node_authority.h"
#include "agent/attest/node_state.h"
#include "agent/attest/trust.h"
#include "base/backoff.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

inline constexpr Reason kStopped{"stopped"};
inline constexpr Reason kNodeSvidWrong{"agent SVID from the server is not usable"};

struct AttestOptions {
  identity::TrustDomain trust_domain;
  std::string trust_bundle_path;        // empty: by digest
  std::optional<ca::Sha256Digest> pin;  // of one authority's DER
};

// What a keeper works with; all of it outlives the keeper.
struct NodeParts {
  NodeState& state;
  NodeAuthority& authority;
  NodeAttestor& attestor;
};

class NodeKeeper {
 public:
  NodeKeeper(const NodeParts& parts, AttestOptions options, const Clock& clock, Random& random,
             const Logger& log, Metrics& metrics);
  ~NodeKeeper();

  // Until attested: tries again, with growing full-jitter pauses, whenever the server could not be
  // asked. Fails with kAttestationRefused, kNoProof, or kStopped.
  Status AttestUntilDone();
  // With a proof that was not used up before; fails with kNoProof when there is none.
  Status AttestOnce();
  // Whether a lost identity can be had again without anybody's help.
  bool can_reattest() const { return attestor_.can_repeat(); }
  // Over the current connection. The new SVID is stored before it is used, except when that fails
  // in the last third of the old one's life: then it is used, and stored when that works again.
  Status RenewOnce();

  // `renewed` is called after each renewal, on the renewing thread.
  void Start(std::function<void()> renewed);
  void Stop();
  // Ends AttestUntilDone() and the renewals soon, without waiting for it.
  void RequestStop();
  // The server can be asked (again).
  void Wake();
  // What to wait after so many failures before this one, and as the server asked. Public for tests.
  Duration PauseAfter(unsigned failures);

 private:
  Result<identity::Bundle> LoadTrust() const;
  Result<NodeIdentity> CheckChain(ca::Chain chain, ca::PrivateKey key,
                                  const identity::Bundle& bundle) const;
  // False: stopped.
  bool Pause(Duration duration);
  void Loop();
  void KeepUnkept();

  NodeState& state_;
  NodeAuthority& authority_;
  NodeAttestor& attestor_;
  const AttestOptions options_;
  const Clock& clock_;
  Random& random_;
  const Logger& log_;
  Counter& renewals_;
  Counter& failures_;
  std::function<void()> renewed_;

  std::mutex attest_mutex_;  // held through an attestation: one at a time

  std::mutex mutex_;
  std::condition_variable changed_;
  bool awake_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
