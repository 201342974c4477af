// Who this node is: the agent's SVID with its key, and the bundle the server is verified against.
// Kept sealed on disk, so that a restart needs neither token nor server.
//
// A new SVID is on disk before the old one is let go: whichever a crash leaves behind, the server
// accepts (it knows the serial in use and the one it issued last).
//
// The kept cache is bound to it: by the SVID, and by a generation that only grows. Who puts back an
// older cache is found out, unless this file is put back as well; then the agent's SVID is an old
// one, which the server refuses as soon as it has seen the next.
//
// Threads: safe from any thread. What is asked never waits for the disk.
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
inline constexpr Reason kBundleEmpty{"own bundle without authorities"};

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

  // What a kept cache must name to be taken for this agent's present one.
  struct CacheBinding {
    ca::Sha256Digest svid{};         // fingerprint of the SVID in use
    ca::Sha256Digest svid_before{};  // and of the one before: a crash may come between
    std::uint64_t generation = 0;    // none below
  };
  CacheBinding cache_binding() const;
  // Durable once it answers. Lower ones than the last are ignored.
  Status SetCacheGeneration(std::uint64_t generation);

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
  // One without X.509 authorities is refused with kBundleEmpty: with it no server could ever be
  // verified again.
  Status SetBundle(identity::Bundle bundle);
  // Identity and bundle are gone, from memory and disk.
  Status Erase();

 private:
  struct Values {
    std::shared_ptr<const NodeIdentity> identity;
    std::shared_ptr<const identity::Bundle> bundle;
    std::string used_token;
    ca::Sha256Digest svid_before{};
    std::uint64_t cache_generation = 0;
    bool unkept = false;  // identity is not on disk
  };
  NodeState(SealedFile file, identity::TrustDomain trust_domain);
  Status Read();
  Status ReadBinding(RecordReader* record);
  Status Write(const Values& values) const;
  Values Get() const;
  void Put(Values values);
  static void Renew(Values* values, NodeIdentity identity);

  const SealedFile file_;
  const identity::TrustDomain trust_domain_;
  std::mutex write_mutex_;    // one change at a time, the disk included
  mutable std::mutex mutex_;  // guards values_
  Values values_;
};

}  // namespace signet::agent
