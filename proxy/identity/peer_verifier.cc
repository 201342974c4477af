#include "proxy/identity/peer_verifier.h"

#include <algorithm>

#include "ca/x509/path.h"
#include "identity/svid/x509_svid.h"

namespace signet::proxy {
SvidVerifier::SvidVerifier(IdentityPtr snapshot,
                           std::shared_ptr<const mesh::RequestPolicy> expected, const Clock& clock)
    : snapshot_(std::move(snapshot)), expected_(std::move(expected)), clock_(clock) {}

Result<std::shared_ptr<const net::PeerIdentity>> SvidVerifier::Verify(
    std::span<const ca::Certificate> presented) const {
  SIGNET_TRY(VerifiedPeerPtr peer, VerifyChain(presented));
  if (expected_ && !expected_->DecideConnection(peer->id).allowed())
    return Fail(Code::kPermissionDenied, kUnexpectedPeer,
                "the peer proved to be " + peer->id.ToString() + ", which is not expected here");
  return peer;
}

Result<VerifiedPeerPtr> SvidVerifier::VerifyChain(
    std::span<const ca::Certificate> presented) const {
  const WallTime now = clock_.Now();
  const std::shared_ptr<const identity::BundleMap> bundles(snapshot_, &snapshot_->bundles);
  if (VerifiedPeerPtr known = known_.Find(presented, bundles, now)) return known;
  SIGNET_TRY(const identity::VerifiedSvid verified,
             identity::VerifyX509Svid(presented, *bundles, now));
  auto peer = std::make_shared<const VerifiedPeer>(VerifiedPeer{
      {verified.id.ToString(), ca::Chain(presented.begin(), presented.end()), verified.valid_until},
      verified.id,
      verified.path.back(),
      snapshot_->generation});
  known_.Keep(presented, bundles, now, peer);
  return peer;
}

Status CheckStillTrusted(const VerifiedPeer& peer, const IdentitySnapshot& snapshot, WallTime now,
                         Duration grace) {
  if (now >= peer.valid_until + grace)
    return Fail(Code::kUnauthenticated, ca::kCertificateExpired,
                "the SVID of " + peer.name + " ended at " + FormatTime(peer.valid_until));
  if (peer.generation == snapshot.generation) return {};
  const auto bundle = snapshot.bundles.find(peer.id.trust_domain());
  if (bundle == snapshot.bundles.end())
    return Fail(Code::kUnauthenticated, identity::kNoBundleForTrustDomain,
                peer.id.trust_domain().name());
  const auto& authorities = bundle->second.x509_authorities;
  if (std::ranges::any_of(authorities, [&](const identity::X509BundleAuthority& authority) {
        return authority.certificate == peer.anchor;
      }))
    return {};
  SIGNET_TRY([[maybe_unused]] const auto verified,
             identity::VerifyX509Svid(peer.chain, snapshot.bundles,
                                      std::min(now, peer.valid_until - std::chrono::seconds(1))));
  return {};
}

const identity::Denial* FindDenial(const identity::DenialSet& denials, const VerifiedPeer& peer,
                                   WallTime now) {
  if (denials.empty()) return nullptr;
  for (const ca::Certificate& certificate : peer.chain)
    if (const auto* denial = denials.Find(peer.id, certificate.SerialHex(), now)) return denial;
  return nullptr;
}

}  // namespace signet::proxy
