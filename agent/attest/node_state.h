// Who this node is: the agent's SVID with its key, and the bundle the server is verified against.
// Kept sealed on disk, so that a restart needs neither token nor server.
//
// A new SVID is on disk before the old one is let go: whichever a crash leaves behind, the server
// accepts (it knows the serial in use and the one it issued last).
//
// Threads: safe from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/attest/sealed_file.h"
#include "base/clock.h"
#include "ca/crypto/key.h"
#include "ca/x509/certificate.h"
#include "identity/bundle/bundle.h"

namespace signet::agent {

struct NodeIdentity {
  identity::SpiffeId id;
  ca::Chain chain;  // leaf first, without the root
  std::shared_ptr<const ca::PrivateKey> key;

  WallTime not_before() const { return chain.front().not_before(); }
  WallTime not_after() const { return chain.front().not_after(); }
};

inline constexpr Reason kStoredForeign{"stored identity is of another trust domain"};

class NodeState {
 public:
  // Reads what is stored. Fails when it does not open, or belongs to another trust domain than
  // `trust_domain`: nothing is overwritten then.
  static Result<std::unique_ptr<NodeState>> Open(SealedFile file,
                                                 identity::TrustDomain trust_domain);

  // Null before the first attestation.
  std::shared_ptr<const NodeIdentity> identity() const;
  // Null when the server was never verified.
  std::shared_ptr<const identity::Bundle> bundle() const;
  // SHA-256, in hex, of the last join token this node used up; empty: none.
  std::string used_token() const;

  // Whether the disk would take an identity now.
  Status CheckRoom() const;
  // Durable once it answers. On failure the old identity stays in use.
  Status SetIdentity(NodeIdentity identity, identity::Bundle bundle, std::string used_token);
  Status RenewIdentity(NodeIdentity identity);
  // In use at once though the disk does not take it: for when the old one is about to end. A crash
  // now costs a new attestation; Keep() ends that.
  void UseUnkept(NodeIdentity identity);
  // Makes durable what is in use and not kept yet; does nothing when there is no such thing.
  Status Keep();
  Status SetBundle(identity::Bundle bundle);
  // Identity and bundle are gone, from memory and disk.
  Status Erase();

 private:
  NodeState(SealedFile file, identity::TrustDomain trust_domain);
  Status Read();
  Status Write(const NodeIdentity& identity, const identity::Bundle& bundle,
               const std::string& used_token) const;

  const SealedFile file_;
  const identity::TrustDomain trust_domain_;
  mutable std::mutex mutex_;
  std::shared_ptr<const NodeIdentity> identity_;
  std::shared_ptr<const identity::Bundle> bundle_;
  std::string used_token_;
  bool unkept_ = false;  // identity_ is not on disk
};

}  // namespace signet::agent
