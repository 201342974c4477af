#include "tests/support/signing_authority.h"

#include <stdexcept>

#include "ca/x509/request.h"

namespace signet::test {
namespace {

template <class T>
T Must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().Message());
  return std::move(*result);
}

}  // namespace

SigningAuthority::SigningAuthority(const std::string& trust_domain, WallTime now)
    : trust_domain_(Must(identity::TrustDomain::Parse(trust_domain))) {
  auto key =
      std::make_shared<const ca::PrivateKey>(Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256)));
  ca::RootProfile profile;
  profile.uri_san = trust_domain_.IdString();
  profile.not_before = now - std::chrono::hours(1);
  profile.not_after = now + std::chrono::hours(24 * 365);
  authority_ = Must(ca::X509Authority::CreateRoot(
      profile, key, random_, [](const ca::IssuanceIntent&) { return Status(); }));
}

identity::Bundle SigningAuthority::bundle() const {
  identity::Bundle bundle;
  bundle.trust_domain = trust_domain_;
  bundle.x509_authorities.push_back({root(), false});
  bundle.sequence_number = 1;
  return bundle;
}

ca::Chain SigningAuthority::Certify(const ca::PublicKey& key, const std::string& uri,
                                    WallTime not_before, WallTime not_after,
                                    ca::Purpose purpose) const {
  ca::LeafProfile profile;
  profile.purpose = purpose;
  profile.uri_san = uri;
  profile.not_before = not_before;
  profile.not_after = not_after;
  const auto prepared = Must(authority_->Prepare(key, profile, random_, not_before));
  return {Must(authority_->Sign(prepared))};
}

ca::Chain SigningAuthority::CertifyRequest(ByteView request, const std::string& uri,
                                           WallTime not_before, WallTime not_after,
                                           ca::Purpose purpose) const {
  return Certify(Must(ca::ParseRequest(request)).public_key, uri, not_before, not_after, purpose);
}

}  // namespace signet::test
