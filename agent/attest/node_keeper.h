// Gets the node its identity and keeps it: attestation by join token when nothing is stored, then
// renewal with the current SVID at half of its life, each time with a new key.
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
#include "agent/attest/node_authority.h"
#include "agent/attest/node_state.h"
#include "agent/attest/trust.h"
#include "agent/cache/renewal.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

inline constexpr Reason kStopped{"stopped"};
inline constexpr Reason kNodeSvidWrong{"agent SVID from the server is not usable"};

struct AttestOptions {
  identity::TrustDomain trust_domain;
  std::string trust_bundle_path;             // empty: by digest
  std::optional<ca::Sha256Digest> pin;       // of one authority's DER
  std::shared_ptr<const SecretBytes> token;  // null: from the file
  std::string token_path;                    // read at each attempt; empty: none
};

class NodeKeeper {
 public:
  NodeKeeper(NodeState& state, NodeAuthority& authority, AttestOptions options, const Clock& clock,
             Random& random, const Logger& log, Metrics& metrics);
  ~NodeKeeper();

  // Until attested: tries again, with growing full-jitter pauses, whenever the server could not be
  // asked. Fails with kAttestationRefused, kNoJoinToken, or kStopped.
  Status AttestUntilDone();
  // With a token that was not used up before; fails with kNoJoinToken when there is none.
  Status AttestOnce();
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

 private:
  Result<identity::Bundle> LoadTrust() const;
  Result<SecretBytes> ReadToken() const;
  Result<NodeIdentity> CheckChain(ca::Chain chain, ca::PrivateKey key,
                                  const identity::Bundle& bundle) const;
  // False: stopped.
  bool Pause(Duration duration);
  void Loop();
  void KeepUnkept();

  NodeState& state_;
  NodeAuthority& authority_;
  const AttestOptions options_;
  const Clock& clock_;
  Random& random_;
  const Logger& log_;
  Counter& renewals_;
  Counter& failures_;
  std::function<void()> renewed_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool awake_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
