#include "proxy/identity/peer_verifier.h"

#include <algorithm>

#include "ca/crypto/digest.h"
#include "ca/x509/path.h"
#include "identity/svid/x509_svid.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kMaxKnownChains = 1024;

ca::Sha256Digest DigestOf(std::span<const ca::Certificate> chain) {
  Bytes fingerprints;
  fingerprints.reserve(chain.size() * sizeof(ca::Sha256Digest));
  for (const ca::Certificate& certificate : chain)
    fingerprints.insert(fingerprints.end(), certificate.fingerprint().begin(),
                        certificate.fingerprint().end());
  return ca::Sha256(fingerprints);
}

}  // namespace

SvidVerifier::SvidVerifier(IdentityPtr snapshot,
                           std::shared_ptr<const mesh::RequestPolicy> expected,
                           const Clock& clock)
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
  const ca::Sha256Digest digest = DigestOf(presented);
  const WallTime now = clock_.Now();
  {
    const std::lock_guard lock(mutex_);
    const auto known = known_.find(digest);
    // An ended one is verified again, which answers with the right reason.
    if (known != known_.end() && now < known->second->valid_until) return known->second;
  }
  SIGNET_TRY(const identity::VerifiedSvid verified,
             identity::VerifyX509Svid(presented, snapshot_->bundles, now));
  auto peer = std::make_shared<VerifiedPeer>(VerifiedPeer{
      {verified.id.ToString(), ca::Chain(presented.begin(), presented.end()), verified.valid_until},
      verified.id,
      verified.path.back(),
      snapshot_->generation});
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnownChains) known_.clear();
  known_[digest] = peer;
  return peer;
}

Status CheckStillTrusted(const VerifiedPeer& peer, const IdentitySnapshot& snapshot, WallTime now) {
  if (now >= peer.valid_until)
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
             identity::VerifyX509Svid(peer.chain, snapshot.bundles, now));
  return {};
}

}  // namespace signet::proxy
