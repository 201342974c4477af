// The unary calls an agent makes to its server: SVIDs for workloads, the node's own attestation and
// renewal, bundles.
//
// Threads: safe from any thread.
#pragma once

#include <atomic>

#include "agent/attest/node_authority.h"
#include "agent/cache/minter.h"
#include "agent/sync/server_link.h"

namespace grpc {
class ClientContext;
}

namespace signet::agent {

// BatchNewX509SVID over the current connection; kServerAway at once when there is none.
class SpireSvidIssuer final : public SvidIssuer {
 public:
  explicit SpireSvidIssuer(ServerLink& link) : link_(link) {}
  bool IsReachable() const override { return link_.current() != nullptr; }
  IssueAnswer Issue(const std::vector<MintRequest>& requests) override;

 private:
  ServerLink& link_;
};

class SpireNodeAuthority final : public NodeAuthority {
 public:
  explicit SpireNodeAuthority(ServerLink& link) : link_(link) {}
  Result<identity::Bundle> FetchBundle(const identity::Bundle& trust) override;
  Result<identity::Bundle> FetchUnverifiedBundle() override;
  Result<ca::Chain> Attest(const identity::Bundle& trust, std::string_view type, NodeProof& proof,
                           const Bytes& request) override;
  Result<ca::Chain> Renew(const Bytes& request) override;
  Duration TakePauseAsked() override { return Duration(pause_asked_.exchange(0)); }

 private:
  void NotePause(const grpc::ClientContext& context);

  ServerLink& link_;
  std::atomic<Duration::rep> pause_asked_ = 0;
};

}  // namespace signet::agent
