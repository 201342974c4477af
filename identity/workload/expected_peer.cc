#include "identity/workload/expected_peer.h"

#include "identity/svid/x509_svid.h"

namespace signet::identity {

Result<std::shared_ptr<const net::PeerIdentity>> ExpectedPeer::Verify(
    std::span<const ca::Certificate> presented) const {
  SIGNET_TRY(const VerifiedSvid verified, VerifyX509Svid(presented, bundles_, clock_.Now()));
  if (verified.id != expected_) {
    return Fail(Code::kUnauthenticated, kPeerNotExpected,
                verified.id.ToString() + " is not " + expected_.ToString());
  }
  return std::make_shared<const net::PeerIdentity>(net::PeerIdentity{
      verified.id.ToString(), ca::Chain(presented.begin(), presented.end()), verified.valid_until});
}

}  // namespace signet::identity
