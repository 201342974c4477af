#include "identity/server/server_identity.h"

#include "identity/svid/x509_svid.h"
#include "net/web_identity.h"

namespace signet::identity {

std::shared_ptr<const BundleMap> OwnBundleVerifier::Bundles() const {
  auto own = registry_.OwnBundle();
  std::lock_guard lock(mutex_);
  if (own != source_ || !bundles_) {
    auto bundles = std::make_shared<BundleMap>();
    if (own) bundles->emplace(registry_.trust_domain(), *own);
    bundles_ = std::move(bundles);
    source_ = std::move(own);
  }
  return bundles_;
}

Result<std::shared_ptr<const net::PeerIdentity>> OwnBundleVerifier::Verify(
    std::span<const ca::Certificate> presented) const {
  const auto bundles = Bundles();
  auto now = clock_.Now();
  if (auto known = known_.Find(presented, bundles, now)) return known;
  const auto& leaf = presented.front();
  bool late = false;
  if (now > leaf.not_after() && now < leaf.not_after() + grace_) {
    // Late agents are judged as of their SVID's last second.
    const auto id = ParseX509Svid(leaf);
    late = id && IsAgentPath(id->path());
    if (late) now = leaf.not_after();
  }
  SIGNET_TRY(auto verified, VerifyX509Svid(presented, *bundles, now));
  auto identity = std::make_shared<const VerifiedCaller>(
      VerifiedCaller{{verified.id.ToString(), ca::Chain(presented.begin(), presented.end()),
                      late ? leaf.not_after() + grace_ : verified.valid_until},
                     verified.path.back()});
  if (!late) known_.Keep(presented, bundles, now, identity);
  return identity;
}

ServerIdentity::ServerIdentity(const TrustDomain& trust_domain, const Issuer& issuer,
                               const ActiveAuthority& authority,
                               std::shared_ptr<const net::PeerVerifier> verifier,
                               const Clock& clock, const Logger& log)
    : trust_domain_(trust_domain),
      issuer_(issuer),
      authority_(authority),
      verifier_(std::move(verifier)),
      clock_(clock),
      log_(log) {}

bool ServerIdentity::IsDue() const {
  const auto active = authority_.Active();
  return !active || active->id() != authority_id_ || clock_.Now() >= renew_at_;
}

Status ServerIdentity::Tick() {
  if (!IsDue()) return {};
  const auto active = authority_.Active();
  SIGNET_TRY(auto key, ca::PrivateKey::Generate(ca::KeyType::kEcP256));
  IssueRequest request;
  request.public_key = key.public_key();
  request.id = ServerId(trust_domain_);
  request.purpose = ca::Purpose::kServer;
  request.requested_by = "server";
  SIGNET_TRY(auto svid, issuer_.IssueOne(request));
  net::TlsOptions options;
  options.role = net::TlsRole::kServer;
  options.client_certificate = net::ClientCertificate::kOptional;
  options.alpn = {"h2"};
  const net::TlsIdentity shown{svid.chain, std::make_shared<ca::PrivateKey>(std::move(key))};
  SIGNET_TRY(auto context, net::TlsContext::Create(options, shown, verifier_));
  SIGNET_TRY(auto document_context,
             net::TlsContext::Create(net::DocumentServerOptions(), shown, nullptr));
  const auto now = clock_.Now();
  renew_at_ = now + (svid.leaf.not_after() - now) / 2;
  authority_id_ = active ? active->id() : std::string();
  log_.Info("server SVID renewed", {{"serial", svid.leaf.SerialHex()},
                                    {"authority", authority_id_},
                                    {"until", FormatTime(svid.leaf.not_after())}});
  std::lock_guard lock(mutex_);
  context_ = std::move(context);
  document_context_ = std::move(document_context);
  valid_until_ = svid.leaf.not_after();
  chain_ = std::move(svid.chain);
  return {};
}

std::shared_ptr<const net::TlsContext> ServerIdentity::Context() const {
  std::lock_guard lock(mutex_);
  return context_;
}

std::shared_ptr<const net::TlsContext> ServerIdentity::DocumentContext() const {
  std::lock_guard lock(mutex_);
  return document_context_;
}

WallTime ServerIdentity::valid_until() const {
  std::lock_guard lock(mutex_);
  return valid_until_;
}

ca::Chain ServerIdentity::Chain() const {
  std::lock_guard lock(mutex_);
  return chain_;
}

}  // namespace signet::identity
