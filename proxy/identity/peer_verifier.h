// Who a TLS peer is: its chain verified as an X.509-SVID against the bundle of its own trust
// domain, and, for a client, whether it is one of the identities expected. Verdicts for known
// chains are kept: they end with the SVID, and with the identity snapshot whose bundles they rest
// on.
//
// Threads: safe from any thread; made per worker, so that its lock is never contended.
#pragma once

#include <memory>

#include "identity/svid/denial.h"
#include "identity/svid/verdict_cache.h"
#include "mesh/request_policy.h"
#include "net/tls.h"
#include "proxy/identity/identity_snapshot.h"

namespace signet::proxy {

inline constexpr Reason kUnexpectedPeer{"peer is not an expected identity"};

// What SvidVerifier answers; every PeerIdentity of this program is one.
struct VerifiedPeer final : net::PeerIdentity {
  identity::SpiffeId id;
  ca::Certificate anchor;        // the authority at the end of the verified path
  std::uint64_t generation = 0;  // of the snapshot it was verified against
};
using VerifiedPeerPtr = std::shared_ptr<const VerifiedPeer>;

class SvidVerifier final : public net::PeerVerifier {
 public:
  // `expected`: the peer must be allowed by it, or the handshake is refused; null: any identity,
  // and the caller decides afterwards. `clock` outlives this.
  SvidVerifier(IdentityPtr snapshot, std::shared_ptr<const mesh::RequestPolicy> expected,
               const Clock& clock);

  // Fails with the reasons of identity/svid and ca/x509/path.h, or kUnexpectedPeer.
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override;

 private:
  Result<VerifiedPeerPtr> VerifyChain(std::span<const ca::Certificate> presented) const;

  const IdentityPtr snapshot_;
  const std::shared_ptr<const mesh::RequestPolicy> expected_;
  const Clock& clock_;
  mutable identity::VerdictCache<VerifiedPeer> known_;
};

// The same peer judged again by a later snapshot: nothing to verify while the authority that ends
// its path is still in its domain's bundle. Fails as Verify() does; with kCertificateExpired when
// its end is `grace` ago.
Status CheckStillTrusted(const VerifiedPeer& peer, const IdentitySnapshot& snapshot, WallTime now,
                         Duration grace);

// The denial that holds for the peer: of its ID, or of the serial number of a certificate of its
// chain. Null: none.
const identity::Denial* FindDenial(const identity::DenialSet& denials, const VerifiedPeer& peer,
                                   WallTime now);

}  // namespace signet::proxy
