// A TLS peer that must be one stated identity, verified as an X.509-SVID against the bundle of its
// own trust domain.
//
// Threads: immutable.
#pragma once

#include "identity/bundle/bundle.h"
#include "net/tls.h"

namespace signet::identity {

inline constexpr Reason kPeerNotExpected{"peer is not the one expected"};

class ExpectedPeer final : public net::PeerVerifier {
 public:
  // `clock` outlives this.
  ExpectedPeer(SpiffeId expected, BundleMap bundles, const Clock& clock)
      : expected_(std::move(expected)), bundles_(std::move(bundles)), clock_(clock) {}
  // Fails as VerifyX509Svid(), or with kPeerNotExpected.
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override;

 private:
  const SpiffeId expected_;
  const BundleMap bundles_;
  const Clock& clock_;
};

}  // namespace signet::identity
