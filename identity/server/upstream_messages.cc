#include "identity/server/upstream_messages.h"

#include "base/log.h"

namespace signet::identity {
namespace {

namespace types = spire::api::types;

constexpr int kMaxAuthorities = 1024;
constexpr std::size_t kMaxMessage = 512;

tl::unexpected<Error> Unusable(std::string what) {
  return Fail(Code::kFailedPrecondition, kUpstreamUnusable, std::move(what));
}

Result<ca::Certificate> ReadCertificate(std::string_view der) {
  auto certificate = ca::Certificate::Parse(AsBytes(der));
  if (!certificate) return Unusable("certificate: " + certificate.error().Message());
  return certificate;
}

Result<JwtBundleAuthority> ReadJwtKey(const types::JWTKey& proto) {
  if (proto.key_id().empty()) return Unusable("a JWT authority without a key ID");
  if (const auto key = ca::PublicKey::FromSpki(AsBytes(proto.public_key())); !key)
    return Unusable("JWT authority: " + key.error().Message());
  return JwtBundleAuthority{.key_id = proto.key_id(),
                            .public_key = ToBytes(AsBytes(proto.public_key())),
                            .expires_at = proto.expires_at(),
                            .tainted = proto.tainted()};
}

}  // namespace

Result<std::vector<JwtBundleAuthority>> ReadUpstreamKeys(
    const google::protobuf::RepeatedPtrField<types::JWTKey>& protos) {
  if (protos.size() > kMaxAuthorities) return Unusable("too many JWT authorities");
  std::vector<JwtBundleAuthority> keys;
  for (const types::JWTKey& proto : protos) {
    SIGNET_TRY(auto key, ReadJwtKey(proto));
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<UpstreamTrust> ReadUpstreamTrust(const types::Bundle& proto,
                                        const TrustDomain& trust_domain) {
  if (proto.trust_domain() != trust_domain.name())
    return Unusable("its bundle is of " + EscapeForLog(proto.trust_domain(), kMaxMessage));
  if (proto.x509_authorities().empty()) return Unusable("its bundle holds no X.509 authority");
  if (proto.x509_authorities_size() > kMaxAuthorities)
    return Unusable("too many X.509 authorities");
  UpstreamTrust trust;
  for (const auto& authority : proto.x509_authorities()) {
    SIGNET_TRY(auto certificate, ReadCertificate(authority.asn1()));
    trust.x509.push_back({.certificate = std::move(certificate), .tainted = authority.tainted()});
  }
  SIGNET_TRY(trust.jwt, ReadUpstreamKeys(proto.jwt_authorities()));
  trust.is_whole = true;
  return trust;
}

Result<UpstreamPeer::Grant> ReadUpstreamGrant(
    const spire::api::server::svid::v1::NewDownstreamX509CAResponse& answer) {
  if (answer.ca_cert_chain().empty() ||
      answer.ca_cert_chain_size() > static_cast<int>(ca::kMaxChainLength) ||
      answer.x509_authorities().empty() || answer.x509_authorities_size() > kMaxAuthorities)
    return Unusable("its answer holds no chain or no root, or too many");
  UpstreamPeer::Grant grant;
  for (const std::string& der : answer.ca_cert_chain()) {
    SIGNET_TRY(auto certificate, ReadCertificate(der));
    grant.chain.push_back(std::move(certificate));
  }
  for (const std::string& der : answer.x509_authorities()) {
    SIGNET_TRY(auto certificate, ReadCertificate(der));
    grant.roots.push_back(std::move(certificate));
  }
  return grant;
}

}  // namespace signet::identity
