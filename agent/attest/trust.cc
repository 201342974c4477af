#include "agent/attest/trust.h"

#include "base/file.h"

namespace signet::agent {
namespace {

constexpr std::size_t kMaxAuthorities = 1000;

Result<identity::Bundle> ParseTrustBundle(const Bytes& content,
                                          const identity::TrustDomain& trust_domain) {
  const std::string_view text = AsText(content);
  if (text.find("-----BEGIN") == std::string_view::npos) {
    SIGNET_TRY(auto parsed, identity::ParseSpiffeBundle(trust_domain, text));
    return std::move(parsed.bundle);
  }
  SIGNET_TRY(auto certificates, ca::ParsePem(text, kMaxAuthorities));
  identity::Bundle bundle;
  bundle.trust_domain = trust_domain;
  for (ca::Certificate& certificate : certificates)
    bundle.x509_authorities.push_back({std::move(certificate), false});
  return bundle;
}

}  // namespace

Result<identity::Bundle> LoadTrustBundle(const std::string& path,
                                         const identity::TrustDomain& trust_domain) {
  const auto content = ReadFile(path, identity::kMaxBundleBytes);
  if (!content)
    return Fail(Code::kInvalidArgument, kTrustBundleUnusable, content.error().Message());
  auto bundle = ParseTrustBundle(*content, trust_domain);
  if (!bundle)
    return Fail(Code::kInvalidArgument, kTrustBundleUnusable,
                path + ": " + bundle.error().Message());
  if (bundle->x509_authorities.empty())
    return Fail(Code::kInvalidArgument, kTrustBundleUnusable, path + " holds no X.509 authority");
  return bundle;
}

Result<identity::Bundle> KeepPinned(const identity::Bundle& unverified,
                                    const ca::Sha256Digest& pin) {
  identity::Bundle pinned;
  pinned.trust_domain = unverified.trust_domain;
  for (const identity::X509BundleAuthority& authority : unverified.x509_authorities)
    if (authority.certificate.fingerprint() == pin) pinned.x509_authorities.push_back(authority);
  if (pinned.x509_authorities.empty())
    return Fail(Code::kPermissionDenied, kPinMismatch,
                "compare trust_bundle_digest with the SHA-256 of an authority the server shows");
  return pinned;
}

ServerVerifier::ServerVerifier(const identity::Bundle& bundle, const Clock& clock)
    : trust_domain_(bundle.trust_domain),
      bundles_({{bundle.trust_domain, bundle}}),
      clock_(clock) {}

Result<std::shared_ptr<const net::PeerIdentity>> ServerVerifier::Verify(
    std::span<const ca::Certificate> presented) const {
  SIGNET_TRY(const auto verified, identity::VerifyX509Svid(presented, bundles_, clock_.Now()));
  if (verified.id != identity::ServerId(trust_domain_))
    return Fail(Code::kPermissionDenied, kServerNotItself,
                verified.id.ToString() + " is not " + identity::ServerId(trust_domain_).ToString());
  return std::make_shared<const net::PeerIdentity>(net::PeerIdentity{
      verified.id.ToString(), ca::Chain(presented.begin(), presented.end()), verified.valid_until});
}

Result<std::shared_ptr<const net::PeerIdentity>> UnverifiedPeer::Verify(
    std::span<const ca::Certificate> presented) const {
  return std::make_shared<const net::PeerIdentity>(net::PeerIdentity{
      "", ca::Chain(presented.begin(), presented.end()), presented.front().not_after()});
}

}  // namespace signet::agent
