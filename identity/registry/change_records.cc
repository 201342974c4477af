#include "identity/registry/change_records.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace signet::identity {
namespace {

using Json = nlohmann::ordered_json;

// Bytes that are no UTF-8 (a hint may hold any) must not keep a change from being recorded.
std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ToJson(const SelectorSet& selectors) {
  Json list = Json::array();
  for (const Selector& selector : selectors) list.push_back(selector.type + ":" + selector.value);
  return list;
}

// What grants the identity, and what it grants; defaults are left out.
std::string DetailOf(const Entry& entry) {
  Json json{{"parent_id", entry.parent_id.ToString()}, {"selectors", ToJson(entry.selectors)}};
  if (!entry.dns_names.empty()) json["dns_names"] = entry.dns_names;
  if (entry.x509_svid_ttl != 0) json["x509_svid_ttl"] = entry.x509_svid_ttl;
  if (entry.jwt_svid_ttl != 0) json["jwt_svid_ttl"] = entry.jwt_svid_ttl;
  for (const TrustDomain& domain : entry.federates_with)
    json["federates_with"].push_back(domain.name());
  if (entry.admin) json["admin"] = true;
  if (entry.downstream) json["downstream"] = true;
  if (entry.expires_at != 0) json["expires_at"] = entry.expires_at;
  if (entry.store_svid) json["store_svid"] = true;
  if (!entry.hint.empty()) json["hint"] = entry.hint;
  return Text(json);
}

// Authorities by digest of their bytes, which a certificate's reader can compute.
using Authorities = std::map<std::string, bool>;  // -> tainted

Authorities X509Of(const Bundle* bundle) {
  Authorities found;
  if (bundle == nullptr) return found;
  for (const auto& authority : bundle->x509_authorities)
    found[EncodeHex(ca::Sha256(authority.certificate.der()))] = authority.tainted;
  return found;
}

Authorities JwtOf(const Bundle* bundle) {
  Authorities found;
  if (bundle == nullptr) return found;
  for (const auto& authority : bundle->jwt_authorities) found[authority.key_id] = authority.tainted;
  return found;
}

void Compare(const std::string& kind, const Authorities& before, const Authorities& after,
             Json* json) {
  for (const auto& [id, tainted] : after) {
    const auto old = before.find(id);
    if (old == before.end()) (*json)[kind + "_added"].push_back(id);
    if (tainted && (old == before.end() || !old->second)) (*json)[kind + "_tainted"].push_back(id);
  }
  for (const auto& [id, tainted] : before)
    if (!after.contains(id)) (*json)[kind + "_removed"].push_back(id);
}

// Whom it is about: a certificate is named by its serial number.
void NameSubject(const Denial& denial, AuditRecord* record) {
  (denial.kind == DenialKind::kSerial ? record->serial : record->subject) = denial.subject;
  record->object = denial.id;
}

std::string_view EventOf(const Node& node, const Node* before) {
  if (node.banned()) return event::kAgentBanned;
  if (before == nullptr) return event::kAgentAttested;
  return before->new_serial != node.new_serial && !node.new_serial.empty() ? event::kAgentRenewed
                                                                           : event::kAgentChanged;
}

}  // namespace

AuditRecord& ChangeRecords::Append(std::string_view event) {
  AuditRecord& record = records_.emplace_back();
  record.event = event;
  record.recorded_at = now_;
  record.actor = by_.name;
  return record;
}

void ChangeRecords::Add(AuditRecord record) {
  record.recorded_at = now_;
  record.actor = by_.name;
  records_.push_back(std::move(record));
}

void ChangeRecords::EntryPut(const Entry& entry, bool created) {
  AuditRecord& record = Append(created ? event::kEntryCreated : event::kEntryUpdated);
  record.subject = entry.spiffe_id.ToString();
  record.object = entry.id;
  record.revision = entry.revision_number;
  record.detail = DetailOf(entry);
}

void ChangeRecords::EntryRemoved(const Entry& entry) {
  AuditRecord& record = Append(event::kEntryDeleted);
  record.subject = entry.spiffe_id.ToString();
  record.object = entry.id;
  record.revision = entry.revision_number;
}

void ChangeRecords::NodePut(const Node& node, const Node* before) {
  AuditRecord& record = Append(EventOf(node, before));
  record.subject = node.id.ToString();
  record.object = node.attestation_type;
  const bool renewed = !node.new_serial.empty();
  record.not_after = renewed ? node.new_serial_expires_at : node.serial_expires_at;
  Json json;
  json["serial"] = renewed ? node.new_serial : node.serial;  // decimal, as agents are listed
  if (before == nullptr || before->selectors != node.selectors)
    json["selectors"] = ToJson(node.selectors);
  record.detail = Text(json);
}

void ChangeRecords::NodeRemoved(const Node& node) {
  AuditRecord& record = Append(event::kAgentEvicted);
  record.subject = node.id.ToString();
  record.object = node.attestation_type;
}

void ChangeRecords::BundlePut(const Bundle& bundle, const Bundle* before) {
  AuditRecord& record = Append(event::kBundleChanged);
  record.subject = bundle.trust_domain.IdString();
  record.object = bundle.trust_domain.name();
  Json json{{"sequence_number", bundle.sequence_number}};
  Compare("x509", X509Of(before), X509Of(&bundle), &json);
  Compare("jwt", JwtOf(before), JwtOf(&bundle), &json);
  record.detail = Text(json);
}

void ChangeRecords::BundleRemoved(const TrustDomain& trust_domain) {
  AuditRecord& record = Append(event::kBundleRemoved);
  record.subject = trust_domain.IdString();
  record.object = trust_domain.name();
}

void ChangeRecords::RelationshipPut(const FederationRelationship& relationship) {
  AuditRecord& record = Append(event::kFederationSet);
  record.subject = relationship.trust_domain.IdString();
  record.object = relationship.trust_domain.name();
  const bool spiffe = relationship.profile == EndpointProfile::kHttpsSpiffe;
  Json json{{"url", relationship.url.text()}, {"profile", spiffe ? "https_spiffe" : "https_web"}};
  if (spiffe) json["endpoint_spiffe_id"] = relationship.endpoint_id.ToString();
  record.detail = Text(json);
}

void ChangeRecords::RelationshipRemoved(const TrustDomain& trust_domain) {
  AuditRecord& record = Append(event::kFederationRemoved);
  record.subject = trust_domain.IdString();
  record.object = trust_domain.name();
}

void ChangeRecords::DenialPut(const Denial& denial) {
  AuditRecord& record = Append(event::kDenialAdded);
  NameSubject(denial, &record);
  Json json{{"kind", DenialKindName(denial.kind)}, {"until", denial.until}};
  if (!denial.reason.empty()) json["reason"] = denial.reason;
  record.detail = Text(json);
}

void ChangeRecords::DenialRemoved(const Denial& denial) {
  AuditRecord& record = Append(event::kDenialRemoved);
  NameSubject(denial, &record);
  record.detail = Text({{"kind", DenialKindName(denial.kind)}, {"until", denial.until}});
}

}  // namespace signet::identity
