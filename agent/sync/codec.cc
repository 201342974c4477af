#include "agent/sync/codec.h"

#include <algorithm>

namespace signet::agent {

namespace types = spire::api::types;

Result<identity::SpiffeId> ToSpiffeId(const types::SPIFFEID& message) {
  SIGNET_TRY(const auto trust_domain, identity::TrustDomain::Parse(message.trust_domain()));
  return identity::SpiffeId::FromPath(trust_domain, message.path());
}

Result<AuthorizedEntry> ToEntry(const types::Entry& message) {
  AuthorizedEntry entry;
  if (message.id().empty()) return Fail(Code::kInternal, kMessageMalformed, "entry without id");
  entry.id = message.id();
  SIGNET_TRY(entry.spiffe_id, ToSpiffeId(message.spiffe_id()));
  std::vector<identity::Selector> selectors;
  for (const auto& selector : message.selectors())
    selectors.push_back({selector.type(), selector.value()});
  entry.selectors = identity::MakeSelectorSet(std::move(selectors));
  for (const auto& name : message.federates_with()) {
    SIGNET_TRY(auto trust_domain, identity::TrustDomain::FromNameOrId(name));
    entry.federates_with.push_back(std::move(trust_domain));
  }
  entry.revision_number = message.revision_number();
  entry.created_at = message.created_at();
  entry.expires_at = message.expires_at();
  entry.hint = message.hint();
  entry.store_svid = message.store_svid();
  entry.disable_x509_svid_prefetch = message.additional_attributes().disable_x509_svid_prefetch();
  entry.jwt_svid_ttl = message.jwt_svid_ttl();
  entry.jwt_svid_include_jti = message.additional_attributes().jwt_svid_include_jti();
  entry.admin = message.admin();
  entry.downstream = message.downstream();
  return entry;
}

types::Entry FromEntry(const AuthorizedEntry& entry) {
  types::Entry message;
  message.set_id(entry.id);
  message.mutable_spiffe_id()->set_trust_domain(entry.spiffe_id.trust_domain().name());
  message.mutable_spiffe_id()->set_path(entry.spiffe_id.path());
  for (const identity::Selector& selector : entry.selectors) {
    auto* added = message.add_selectors();
    added->set_type(selector.type);
    added->set_value(selector.value);
  }
  for (const identity::TrustDomain& name : entry.federates_with)
    message.add_federates_with(name.name());
  message.set_revision_number(entry.revision_number);
  message.set_created_at(entry.created_at);
  message.set_expires_at(entry.expires_at);
  message.set_hint(entry.hint);
  message.set_store_svid(entry.store_svid);
  if (entry.disable_x509_svid_prefetch)
    message.mutable_additional_attributes()->set_disable_x509_svid_prefetch(true);
  if (entry.jwt_svid_include_jti)
    message.mutable_additional_attributes()->set_jwt_svid_include_jti(true);
  message.set_jwt_svid_ttl(entry.jwt_svid_ttl);
  message.set_admin(entry.admin);
  message.set_downstream(entry.downstream);
  return message;
}

Result<identity::Bundle> ToBundle(const types::Bundle& message) {
  identity::Bundle bundle;
  SIGNET_TRY(bundle.trust_domain, identity::TrustDomain::FromNameOrId(message.trust_domain()));
  for (const auto& authority : message.x509_authorities()) {
    SIGNET_TRY(auto certificate, ca::Certificate::Parse(AsBytes(authority.asn1())));
    bundle.x509_authorities.push_back({std::move(certificate), authority.tainted()});
  }
  for (const auto& authority : message.jwt_authorities())
    bundle.jwt_authorities.push_back({authority.key_id(), ToBytes(AsBytes(authority.public_key())),
                                      authority.expires_at(), authority.tainted()});
  bundle.refresh_hint = message.refresh_hint();
  bundle.sequence_number = message.sequence_number();
  return bundle;
}

types::Bundle FromBundle(const identity::Bundle& bundle) {
  types::Bundle message;
  message.set_trust_domain(bundle.trust_domain.name());
  for (const identity::X509BundleAuthority& authority : bundle.x509_authorities) {
    auto* added = message.add_x509_authorities();
    added->set_asn1(ToString(authority.certificate.der()));
    added->set_tainted(authority.tainted);
  }
  for (const identity::JwtBundleAuthority& authority : bundle.jwt_authorities) {
    auto* added = message.add_jwt_authorities();
    added->set_key_id(authority.key_id);
    added->set_public_key(ToString(authority.public_key));
    added->set_expires_at(authority.expires_at);
    added->set_tainted(authority.tainted);
  }
  message.set_refresh_hint(bundle.refresh_hint);
  message.set_sequence_number(bundle.sequence_number);
  return message;
}

Result<ca::Chain> ToChain(const types::X509SVID& message) {
  if (message.cert_chain().empty() ||
      static_cast<std::size_t>(message.cert_chain_size()) > ca::kMaxChainLength)
    return Fail(Code::kInternal, kMessageMalformed, "certificate chain empty or too long");
  ca::Chain chain;
  for (const std::string& der : message.cert_chain()) {
    SIGNET_TRY(auto certificate, ca::Certificate::Parse(AsBytes(der)));
    chain.push_back(std::move(certificate));
  }
  return chain;
}

}  // namespace signet::agent
