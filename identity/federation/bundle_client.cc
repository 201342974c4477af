#include "identity/federation/bundle_client.h"

#include "identity/svid/x509_svid.h"
#include "net/web_verifier.h"

namespace signet::identity {
namespace {

// The endpoint must be `expected`, verified against `bundles` as of now.
Result<std::shared_ptr<const net::PeerIdentity>> VerifyEndpoint(
    std::span<const ca::Certificate> presented, const SpiffeId& expected, const BundleMap& bundles,
    WallTime now) {
  SIGNET_TRY(const VerifiedSvid verified, VerifyX509Svid(presented, bundles, now));
  if (verified.id != expected) {
    return Fail(Code::kUnauthenticated, kEndpointNotItself,
                verified.id.ToString() + " is not " + expected.ToString());
  }
  return std::make_shared<const net::PeerIdentity>(net::PeerIdentity{
      verified.id.ToString(), ca::Chain(presented.begin(), presented.end()), verified.valid_until});
}

class EndpointVerifier final : public net::PeerVerifier {
 public:
  EndpointVerifier(SpiffeId expected, const Bundle& bundle, const Clock& clock)
      : expected_(std::move(expected)),
        bundles_({{expected_.trust_domain(), bundle}}),
        clock_(clock) {}
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    return VerifyEndpoint(presented, expected_, bundles_, clock_.Now());
  }

 private:
  const SpiffeId expected_;
  const BundleMap bundles_;
  const Clock& clock_;
};

// Lets anybody answer and vouches for nobody: the answer is believed only once the pin it must hold
// verifies the very chain that was presented.
class UnverifiedEndpoint final : public net::PeerVerifier {
 public:
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    return std::make_shared<const net::PeerIdentity>(net::PeerIdentity{
        "", ca::Chain(presented.begin(), presented.end()), presented.front().not_after()});
  }
};

Status CheckPin(const ca::Sha256Digest& pin, const net::PeerIdentity& peer, const Bundle& served,
                const SpiffeId& expected, WallTime now) {
  Bundle pinned;
  pinned.trust_domain = served.trust_domain;
  for (const X509BundleAuthority& authority : served.x509_authorities) {
    if (authority.certificate.fingerprint() == pin) pinned.x509_authorities.push_back(authority);
  }
  if (pinned.x509_authorities.empty()) {
    return Fail(Code::kUnauthenticated, kPinNotServed,
                "compare bundle_sha256 with the SHA-256 of an X.509 authority of " +
                    served.trust_domain.name());
  }
  auto verified = VerifyEndpoint(peer.chain, expected, {{served.trust_domain, pinned}}, now);
  if (!verified) return Fail(std::move(verified).error());
  return {};
}

bool IsNumericHost(const std::string& host) {
  return host.find(':') != host.npos || host.find_first_not_of("0123456789.") == host.npos;
}

}  // namespace

Result<std::shared_ptr<const net::PeerVerifier>> BundleClient::VerifierFor(
    const BundleQuery& query) const {
  const FederationRelationship& relationship = query.relationship;
  if (relationship.profile == EndpointProfile::kHttpsWeb) {
    SIGNET_TRY(auto roots, net::WebRoots::Load(web_roots_));
    return std::make_shared<const net::WebVerifier>(std::move(roots), relationship.url.host(),
                                                    clock_);
  }
  const SpiffeId& id = relationship.endpoint_id;
  if (query.endpoint_bundle != nullptr)
    return std::make_shared<const EndpointVerifier>(id, *query.endpoint_bundle, clock_);
  if (query.pin && id.IsMemberOf(relationship.trust_domain))
    return std::make_shared<const UnverifiedEndpoint>();
  return Fail(
      Code::kFailedPrecondition, kEndpointUnverifiable,
      "there is no bundle of " + id.trust_domain().name() +
          " yet to verify it against; set one (signet bundle set), or name a bundle file or "
          "a pinned digest in the configuration");
}

Result<BundleAnswer> BundleClient::Fetch(const BundleQuery& query) const {
  const FederationRelationship& relationship = query.relationship;
  SIGNET_TRY(auto verifier, VerifierFor(query));
  net::TlsOptions options;
  options.role = net::TlsRole::kClient;
  options.alpn = {"http/1.1"};
  options.versions = net::TlsVersions::k12And13;
  if (!IsNumericHost(relationship.url.host())) options.server_name = relationship.url.host();
  net::HttpsQuery ask;
  SIGNET_TRY(ask.context, net::TlsContext::Create(options, std::nullopt, std::move(verifier)));
  ask.url = relationship.url;
  ask.if_none_match = query.etag;
  ask.max_body_bytes = kMaxBundleBytes;
  ask.permit = query.permit;
  SIGNET_TRY(const net::HttpsAnswer answer, net::FetchHttps(ask));
  constexpr int kNotModified = 304;
  if (answer.status == kNotModified) {
    if (query.etag.empty())
      return Fail(Code::kFailedPrecondition, net::kFetchRefused,
                  relationship.url.text() + ": nothing was held that could be unchanged");
    return BundleAnswer{.unchanged = true, .parsed = {}, .etag = {}};
  }
  auto parsed = ParseSpiffeBundle(relationship.trust_domain, answer.body);
  // What the endpoint said stays out of the error: it need not be a bundle endpoint at all.
  if (!parsed) {
    return Fail(Code::kFailedPrecondition, kBundleMalformed,
                relationship.url.text() + " serves no SPIFFE bundle");
  }
  const bool unverified =
      relationship.profile == EndpointProfile::kHttpsSpiffe && query.endpoint_bundle == nullptr;
  if (unverified) {
    SIGNET_RETURN_IF_ERROR(
        CheckPin(*query.pin, *answer.peer, parsed->bundle, relationship.endpoint_id, clock_.Now()));
  }
  return BundleAnswer{.unchanged = false, .parsed = *std::move(parsed), .etag = answer.etag};
}

}  // namespace signet::identity
