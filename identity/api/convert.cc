#include "identity/api/convert.h"

#include <algorithm>
#include <cstdio>

namespace signet::identity {
namespace {

namespace types = spire::api::types;

tl::unexpected<Error> Invalid(std::string_view field, std::string_view problem) {
  return Fail(
      Code::kInvalidArgument, kFieldInvalid,
      field.empty() ? std::string(problem) : std::string(field) + ": " + std::string(problem));
}

Result<MatchBehavior> MatchFromProto(int match) {
  switch (match) {
    case types::SelectorMatch::MATCH_EXACT:
      return MatchBehavior::kExact;
    case types::SelectorMatch::MATCH_SUBSET:
      return MatchBehavior::kSubset;
    case types::SelectorMatch::MATCH_SUPERSET:
      return MatchBehavior::kSuperset;
    case types::SelectorMatch::MATCH_ANY:
      return MatchBehavior::kAny;
    default:
      // INTERNAL as SPIRE answers it.
      return Fail(Code::kInternal, kFieldInvalid,
                  "match behavior " + std::to_string(match) + " does not exist");
  }
}

Result<EntryFilter::Selectors> SelectorFilter(const types::SelectorMatch& proto) {
  EntryFilter::Selectors filter;
  SIGNET_TRY(auto selectors, SelectorsFromProto(proto.selectors()));
  filter.selectors = MakeSelectorSet(std::move(selectors));
  SIGNET_TRY(filter.match, MatchFromProto(proto.match()));
  return filter;
}

Status ReadFederatesWith(const types::Entry& proto, Entry* entry) {
  for (const auto& name : proto.federates_with()) {
    auto trust_domain = TrustDomain::FromNameOrId(name);
    if (!trust_domain)
      return Invalid("federates_with: invalid federated trust domain",
                     trust_domain.error().Message());
    entry->federates_with.push_back(std::move(*trust_domain));
  }
  return {};
}

// The plain fields, which need no reading.
void CopyFields(const types::Entry& proto, const EntryMask& mask, Entry* entry) {
  if (mask.x509_svid_ttl) entry->x509_svid_ttl = proto.x509_svid_ttl();
  if (mask.jwt_svid_ttl) entry->jwt_svid_ttl = proto.jwt_svid_ttl();
  if (mask.admin) entry->admin = proto.admin();
  if (mask.downstream) entry->downstream = proto.downstream();
  if (mask.expires_at) entry->expires_at = proto.expires_at();
  if (mask.store_svid) entry->store_svid = proto.store_svid();
  if (mask.hint) entry->hint = proto.hint();
  if (mask.dns_names) entry->dns_names.assign(proto.dns_names().begin(), proto.dns_names().end());
  if (mask.additional_attributes) {
    const auto& attributes = proto.additional_attributes();
    entry->disable_x509_svid_prefetch = attributes.disable_x509_svid_prefetch();
    entry->jwt_svid_include_jti = attributes.jwt_svid_include_jti();
  }
}

// "2006-01-02 15:04:05 -0700 -07", as SPIRE's client writes it. Absent when it is something else.
std::optional<std::int64_t> ParseListTime(const std::string& text) {
  std::tm time{};
  int year = 0, month = 0, zone = 0, parsed = 0;
  char sign = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2d %2d:%2d:%2d %c%4d%n", &year, &month, &time.tm_mday,
                  &time.tm_hour, &time.tm_min, &time.tm_sec, &sign, &zone, &parsed) != 8 ||
      (sign != '+' && sign != '-')) {
    return std::nullopt;
  }
  time.tm_year = year - 1900;
  time.tm_mon = month - 1;
  const std::int64_t offset = (zone / 100) * 3600 + (zone % 100) * 60;
  return static_cast<std::int64_t>(timegm(&time)) - (sign == '-' ? -offset : offset);
}

}  // namespace

Result<SpiffeId> IdFromProto(const types::SPIFFEID& proto, const TrustDomain& trust_domain,
                             std::string_view field) {
  if (proto.trust_domain().empty()) return Invalid(field, "trust domain is missing");
  auto domain = TrustDomain::FromNameOrId(proto.trust_domain());
  if (!domain) return Invalid(field, domain.error().Message());
  auto id = SpiffeId::FromPath(*domain, proto.path());
  if (!id) return Invalid(field, id.error().Message());
  if (!id->IsMemberOf(trust_domain)) {
    return Invalid(field, "\"" + id->ToString() + "\" is not a member of trust domain \"" +
                              trust_domain.name() + "\"");
  }
  return id;
}

Status CheckWorkloadId(const SpiffeId& id, const TrustDomain& trust_domain,
                       std::string_view field) {
  const auto text = "\"" + id.ToString() + "\" is not a ";
  const auto domain = "trust domain \"" + trust_domain.name() + "\"";
  if (!id.IsMemberOf(trust_domain)) return Invalid(field, text + "member of " + domain);
  if (id.path().empty()) return Invalid(field, text + "workload in " + domain + "; path is empty");
  if (IsReservedPath(id.path()))
    return Invalid(field, text + "workload in " + domain + "; path is in the reserved namespace");
  return {};
}

Result<SpiffeId> WorkloadIdFromProto(const types::SPIFFEID& proto, const TrustDomain& trust_domain,
                                     std::string_view field) {
  SIGNET_TRY(auto id, IdFromProto(proto, trust_domain, field));
  SIGNET_RETURN_IF_ERROR(CheckWorkloadId(id, trust_domain, field));
  return id;
}

Result<SpiffeId> AgentIdFromProto(const types::SPIFFEID& proto, const TrustDomain& trust_domain,
                                  std::string_view field) {
  SIGNET_TRY(auto id, IdFromProto(proto, trust_domain, field));
  if (IsAgentPath(id.path())) return id;
  return Invalid(field, "\"" + id.ToString() + "\" is not an agent in trust domain \"" +
                            trust_domain.name() + "\"; path is " +
                            (id.path().empty() ? "empty" : "not in the agent namespace"));
}

types::SPIFFEID ToProto(const SpiffeId& id) {
  types::SPIFFEID proto;
  proto.set_trust_domain(id.trust_domain().name());
  proto.set_path(id.path());
  return proto;
}

Result<std::vector<Selector>> SelectorsFromProto(
    const google::protobuf::RepeatedPtrField<types::Selector>& proto) {
  std::vector<Selector> selectors;
  for (const auto& selector : proto) {
    if (selector.type().empty()) return Invalid("selectors", "missing selector type");
    if (selector.type().find(':') != std::string::npos)
      return Invalid("selectors", "selector type contains ':'");
    if (selector.value().empty()) return Invalid("selectors", "missing selector value");
    selectors.push_back({selector.type(), selector.value()});
  }
  return selectors;
}

EntryMask MaskFromProto(const types::EntryMask* proto) {
  if (proto == nullptr) return {};
  return {.spiffe_id = proto->spiffe_id(),
          .parent_id = proto->parent_id(),
          .selectors = proto->selectors(),
          .x509_svid_ttl = proto->x509_svid_ttl(),
          .federates_with = proto->federates_with(),
          .admin = proto->admin(),
          .downstream = proto->downstream(),
          .expires_at = proto->expires_at(),
          .dns_names = proto->dns_names(),
          .revision_number = proto->revision_number(),
          .store_svid = proto->store_svid(),
          .jwt_svid_ttl = proto->jwt_svid_ttl(),
          .hint = proto->hint(),
          .created_at = proto->created_at(),
          .additional_attributes = proto->additional_attributes()};
}

Result<Entry> ReadEntry(const types::Entry& proto, const EntryMask& mask,
                        const TrustDomain& trust_domain) {
  Entry entry;
  entry.id = proto.id();
  if (mask.parent_id) {
    if (!proto.has_parent_id())
      return Invalid("invalid parent ID", "request must specify SPIFFE ID");
    SIGNET_TRY(entry.parent_id, IdFromProto(proto.parent_id(), trust_domain, "invalid parent ID"));
  }
  if (mask.spiffe_id) {
    if (!proto.has_spiffe_id())
      return Invalid("invalid spiffe ID", "request must specify SPIFFE ID");
    SIGNET_TRY(entry.spiffe_id,
               WorkloadIdFromProto(proto.spiffe_id(), trust_domain, "invalid spiffe ID"));
  }
  if (mask.selectors) {
    SIGNET_TRY(entry.selectors, SelectorsFromProto(proto.selectors()));
    if (entry.selectors.empty()) return Invalid("selectors", "selector list is empty");
  }
  if (mask.federates_with) SIGNET_RETURN_IF_ERROR(ReadFederatesWith(proto, &entry));
  CopyFields(proto, mask, &entry);
  return entry;
}

void WriteEntry(const Entry& entry, const EntryMask& mask, types::Entry* proto) {
  proto->set_id(entry.id);
  if (mask.spiffe_id) *proto->mutable_spiffe_id() = ToProto(entry.spiffe_id);
  if (mask.parent_id) *proto->mutable_parent_id() = ToProto(entry.parent_id);
  if (mask.selectors) {
    for (const auto& selector : entry.selectors) {
      auto* added = proto->add_selectors();
      added->set_type(selector.type);
      added->set_value(selector.value);
    }
  }
  if (mask.federates_with) {
    for (const auto& domain : entry.federates_with) proto->add_federates_with(domain.name());
  }
  if (mask.dns_names) {
    for (const auto& name : entry.dns_names) proto->add_dns_names(name);
  }
  if (mask.x509_svid_ttl) proto->set_x509_svid_ttl(entry.x509_svid_ttl);
  if (mask.jwt_svid_ttl) proto->set_jwt_svid_ttl(entry.jwt_svid_ttl);
  if (mask.admin) proto->set_admin(entry.admin);
  if (mask.downstream) proto->set_downstream(entry.downstream);
  if (mask.expires_at) proto->set_expires_at(entry.expires_at);
  if (mask.revision_number) proto->set_revision_number(entry.revision_number);
  if (mask.store_svid) proto->set_store_svid(entry.store_svid);
  if (mask.hint) proto->set_hint(entry.hint);
  if (mask.created_at) proto->set_created_at(entry.created_at);
  if (mask.additional_attributes &&
      (entry.disable_x509_svid_prefetch || entry.jwt_svid_include_jti)) {
    auto* attributes = proto->mutable_additional_attributes();
    attributes->set_disable_x509_svid_prefetch(entry.disable_x509_svid_prefetch);
    attributes->set_jwt_svid_include_jti(entry.jwt_svid_include_jti);
  }
}

Result<EntryFilter> FilterFromProto(
    const spire::api::server::entry::v1::ListEntriesRequest::Filter& proto,
    const TrustDomain& trust_domain) {
  EntryFilter filter;
  if (proto.has_by_spiffe_id()) {
    SIGNET_TRY(filter.spiffe_id, WorkloadIdFromProto(proto.by_spiffe_id(), trust_domain,
                                                     "malformed SPIFFE ID filter"));
  }
  if (proto.has_by_parent_id()) {
    SIGNET_TRY(filter.parent_id,
               IdFromProto(proto.by_parent_id(), trust_domain, "malformed parent ID filter"));
  }
  if (proto.has_by_selectors()) {
    if (proto.by_selectors().selectors().empty())
      return Invalid("malformed selectors filter", "empty selector set");
    SIGNET_TRY(filter.selectors, SelectorFilter(proto.by_selectors()));
  }
  if (proto.has_by_federates_with()) {
    EntryFilter::FederatesWith federates;
    if (proto.by_federates_with().trust_domains().empty())
      return Invalid("malformed federates with filter", "empty trust domain set");
    for (const auto& name : proto.by_federates_with().trust_domains()) {
      auto domain = TrustDomain::FromNameOrId(name);
      if (!domain) return Invalid("malformed federates with filter", domain.error().Message());
      federates.trust_domains.push_back(std::move(*domain));
    }
    std::ranges::sort(federates.trust_domains);
    const auto repeated = std::ranges::unique(federates.trust_domains);
    federates.trust_domains.erase(repeated.begin(), repeated.end());
    SIGNET_TRY(federates.match, MatchFromProto(proto.by_federates_with().match()));
    filter.federates_with = std::move(federates);
  }
  // An empty hint is no filter.
  if (proto.has_by_hint() && !proto.by_hint().value().empty())
    filter.hint = proto.by_hint().value();
  if (proto.has_by_downstream()) filter.downstream = proto.by_downstream().value();
  return filter;
}

AgentMask MaskFromProto(const types::AgentMask* proto) {
  if (proto == nullptr) return {};
  return {.attestation_type = proto->attestation_type(),
          .serial = proto->x509svid_serial_number(),
          .expires_at = proto->x509svid_expires_at(),
          .selectors = proto->selectors(),
          .banned = proto->banned(),
          .can_reattest = proto->can_reattest(),
          .agent_version = proto->agent_version()};
}

void WriteAgent(const Node& node, const AgentMask& mask, types::Agent* proto) {
  *proto->mutable_id() = ToProto(node.id);
  if (mask.attestation_type) proto->set_attestation_type(node.attestation_type);
  if (mask.serial) proto->set_x509svid_serial_number(node.serial);
  if (mask.expires_at) proto->set_x509svid_expires_at(node.serial_expires_at);
  if (mask.selectors) {
    for (const auto& selector : node.selectors) {
      auto* added = proto->add_selectors();
      added->set_type(selector.type);
      added->set_value(selector.value);
    }
  }
  if (mask.banned) proto->set_banned(node.banned());
  if (mask.can_reattest) proto->set_can_reattest(node.can_reattest);
  if (mask.agent_version) proto->set_agent_version(node.agent_version);
}

Result<NodeFilter> FilterFromProto(
    const spire::api::server::agent::v1::ListAgentsRequest::Filter& proto) {
  NodeFilter filter;
  if (!proto.by_attestation_type().empty()) filter.attestation_type = proto.by_attestation_type();
  if (proto.has_by_selector_match()) {
    SIGNET_TRY(auto selectors, SelectorFilter(proto.by_selector_match()));
    // INTERNAL as SPIRE answers it.
    if (selectors.selectors.empty())
      return Fail(Code::kInternal, kFieldInvalid, "cannot list by empty selectors set");
    filter.selectors = std::move(selectors);
  }
  if (proto.has_by_banned()) filter.banned = proto.by_banned().value();
  if (proto.has_by_can_reattest()) filter.can_reattest = proto.by_can_reattest().value();
  // What is no time is no filter, as in SPIRE.
  if (!proto.by_expires_before().empty())
    filter.expires_before = ParseListTime(proto.by_expires_before());
  return filter;
}

BundleMask MaskFromProto(const types::BundleMask* proto) {
  if (proto == nullptr) return {};
  return {.x509_authorities = proto->x509_authorities(),
          .jwt_authorities = proto->jwt_authorities(),
          .refresh_hint = proto->refresh_hint(),
          .sequence_number = proto->sequence_number()};
}

Result<std::vector<X509BundleAuthority>> X509AuthoritiesFromProto(
    const google::protobuf::RepeatedPtrField<types::X509Certificate>& proto,
    std::string_view field) {
  std::vector<X509BundleAuthority> authorities;
  for (const auto& authority : proto) {
    auto certificate = ca::Certificate::Parse(AsBytes(authority.asn1()));
    if (!certificate)
      return Invalid(field, "unable to parse X.509 authority: " + certificate.error().Message());
    authorities.push_back({.certificate = std::move(*certificate)});
  }
  return authorities;
}

Result<JwtBundleAuthority> JwtAuthorityFromProto(const types::JWTKey& proto,
                                                 std::string_view field) {
  if (proto.key_id().empty())
    return Invalid(field, "unable to parse JWT authority: missing key ID");
  if (auto key = ca::PublicKey::FromSpki(AsBytes(proto.public_key())); !key)
    return Invalid(field, "unable to parse JWT authority: " + key.error().Message());
  return JwtBundleAuthority{.key_id = proto.key_id(),
                            .public_key = ToBytes(AsBytes(proto.public_key())),
                            .expires_at = proto.expires_at()};
}

Result<Bundle> ReadBundle(const types::Bundle& proto, std::string_view field) {
  Bundle bundle;
  SIGNET_TRY(bundle.x509_authorities, X509AuthoritiesFromProto(proto.x509_authorities(), field));
  for (const auto& key : proto.jwt_authorities()) {
    SIGNET_TRY(auto authority, JwtAuthorityFromProto(key, field));
    bundle.jwt_authorities.push_back(std::move(authority));
  }
  bundle.refresh_hint = proto.refresh_hint();
  bundle.sequence_number = proto.sequence_number();
  return bundle;
}

void WriteJwtAuthorities(const Bundle& bundle,
                         google::protobuf::RepeatedPtrField<types::JWTKey>* proto) {
  for (const auto& authority : bundle.jwt_authorities) {
    auto* added = proto->Add();
    added->set_public_key(ToString(authority.public_key));
    added->set_key_id(authority.key_id);
    added->set_expires_at(authority.expires_at);
    added->set_tainted(authority.tainted);
  }
}

void WriteBundle(const Bundle& bundle, const BundleMask& mask, types::Bundle* proto) {
  proto->set_trust_domain(bundle.trust_domain.name());
  if (mask.x509_authorities) {
    for (const auto& authority : bundle.x509_authorities) {
      auto* added = proto->add_x509_authorities();
      added->set_asn1(ToString(authority.certificate.der()));
      added->set_tainted(authority.tainted);
    }
  }
  if (mask.jwt_authorities) {
    WriteJwtAuthorities(bundle, proto->mutable_jwt_authorities());
  }
  if (mask.refresh_hint) proto->set_refresh_hint(bundle.refresh_hint);
  if (mask.sequence_number) proto->set_sequence_number(bundle.sequence_number);
}

void WriteSvid(const IssuedSvid& svid, const SpiffeId& id, types::X509SVID* proto) {
  for (const auto& certificate : svid.chain) proto->add_cert_chain(ToString(certificate.der()));
  *proto->mutable_id() = ToProto(id);
  proto->set_expires_at(UnixSeconds(svid.leaf.not_after()));
}

}  // namespace signet::identity
