// The server's own SVID, spiffe://<trust domain>/spire/server: minted like any other, renewed at
// half life and as soon as another authority signs, and shown at the very next handshake.
//
// Threads: safe from any thread; Tick() from one at a time.
#pragma once

#include <memory>
#include <mutex>

#include "base/log.h"
#include "identity/registry/registry.h"
#include "identity/server/issuer.h"
#include "identity/svid/verdict_cache.h"
#include "net/tls.h"

namespace signet::identity {

// What OwnBundleVerifier answers: every PeerIdentity behind the server's TLS front is one.
struct VerifiedCaller final : net::PeerIdentity {
  ca::Certificate anchor;  // the authority at the end of the verified path
};

// Accepts SVIDs of the own trust domain that verify against the own bundle as it is now. Agents are
// let in for `grace` after their SVID's end: to renew, and for nothing else (api/authorization.h).
class OwnBundleVerifier final : public net::PeerVerifier {
 public:
  OwnBundleVerifier(const Registry& registry, std::chrono::seconds grace, const Clock& clock)
      : registry_(registry), grace_(grace), clock_(clock) {}
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override;

 private:
  std::shared_ptr<const BundleMap> Bundles() const;

  const Registry& registry_;
  const std::chrono::seconds grace_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  mutable BundlePtr source_;  // what bundles_ was made of
  mutable std::shared_ptr<const BundleMap> bundles_;
  mutable VerdictCache<VerifiedCaller> known_;  // not of those in their grace
};

class ServerIdentity {
 public:
  ServerIdentity(const TrustDomain& trust_domain, const Issuer& issuer,
                 const ActiveAuthority& authority,
                 std::shared_ptr<const net::PeerVerifier> verifier, const Clock& clock,
                 const Logger& log);

  // Renews when it is due. What was there stays when that fails.
  Status Tick();
  // Null before the first Tick() that succeeds.
  std::shared_ptr<const net::TlsContext> Context() const;
  // The same SVID for a server of documents (net/https_server.h), which asks for no certificate.
  std::shared_ptr<const net::TlsContext> DocumentContext() const;
  // Zero when there is no SVID.
  WallTime valid_until() const;
  // What Context() shows, leaf first; empty when there is no SVID.
  ca::Chain Chain() const;

 private:
  bool IsDue() const;

  const TrustDomain trust_domain_;
  const Issuer& issuer_;
  const ActiveAuthority& authority_;
  const std::shared_ptr<const net::PeerVerifier> verifier_;
  const Clock& clock_;
  const Logger& log_;
  std::string authority_id_;  // Tick()'s alone
  WallTime renew_at_{};       // Tick()'s alone
  mutable std::mutex mutex_;
  std::shared_ptr<const net::TlsContext> context_;
  std::shared_ptr<const net::TlsContext> document_context_;
  WallTime valid_until_{};
  ca::Chain chain_;
};

}  // namespace signet::identity
