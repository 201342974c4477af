// How the agent comes to trust its server: a bundle given by the operator, or the digest of one
// authority, and the check of the server's certificate against it.
#pragma once

#include <optional>
#include <string>

#include "ca/crypto/digest.h"
#include "identity/bundle/bundle.h"
#include "identity/svid/x509_svid.h"
#include "net/tls.h"

namespace signet::agent {

inline constexpr Reason kServerNotItself{"peer is not the server of this trust domain"};
inline constexpr Reason kPinMismatch{"no authority of the server has the pinned digest"};
inline constexpr Reason kTrustBundleUnusable{"trust bundle unusable"};

// The operator's file: PEM certificates, or a SPIFFE bundle (JWKS). At least one authority. Fails
// with kTrustBundleUnusable.
Result<identity::Bundle> LoadTrustBundle(const std::string& path,
                                         const identity::TrustDomain& trust_domain);

// Of a bundle that nobody vouches for, the authorities with this SHA-256 over their DER. Fails with
// kPinMismatch when there is none.
Result<identity::Bundle> KeepPinned(const identity::Bundle& unverified,
                                    const ca::Sha256Digest& pin);

// The peer must be spiffe://<trust domain>/spire/server, verified against `bundle`.
class ServerVerifier final : public net::PeerVerifier {
 public:
  ServerVerifier(const identity::Bundle& bundle, const Clock& clock);
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override;

 private:
  const identity::TrustDomain trust_domain_;
  const identity::BundleMap bundles_;
  const Clock& clock_;
};

// Accepts any peer and vouches for nothing: only to fetch the bundle a pin is then looked up in.
class UnverifiedPeer final : public net::PeerVerifier {
 public:
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override;
};

}  // namespace signet::agent
