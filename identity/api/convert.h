// SPIRE's API messages <-> our values: one place for masks, SPIFFE IDs and filters. Errors are
// INVALID_ARGUMENT and name the field.
#pragma once

#include "identity/bundle/bundle.h"
#include "identity/registry/entry.h"
#include "identity/registry/node.h"
#include "identity/server/issuer.h"
#include "spire/api/server/agent/v1/agent.pb.h"
#include "spire/api/server/entry/v1/entry.pb.h"
#include "spire/api/types/agent.pb.h"
#include "spire/api/types/bundle.pb.h"
#include "spire/api/types/entry.pb.h"
#include "spire/api/types/x509svid.pb.h"

namespace signet::identity {

inline constexpr Reason kFieldInvalid{"invalid field"};

// SPIFFE IDs. `field` names what is wrong in the error: "invalid spiffe ID".
Result<SpiffeId> IdFromProto(const spire::api::types::SPIFFEID& proto,
                             const TrustDomain& trust_domain, std::string_view field);
// Of this trust domain, with a path outside the reserved space.
Result<SpiffeId> WorkloadIdFromProto(const spire::api::types::SPIFFEID& proto,
                                     const TrustDomain& trust_domain, std::string_view field);
// Of this trust domain, below /spire/agent/.
Result<SpiffeId> AgentIdFromProto(const spire::api::types::SPIFFEID& proto,
                                  const TrustDomain& trust_domain, std::string_view field);
Status CheckWorkloadId(const SpiffeId& id, const TrustDomain& trust_domain, std::string_view field);
spire::api::types::SPIFFEID ToProto(const SpiffeId& id);

// Selectors in the order given; type and value present, no colon in the type.
Result<std::vector<Selector>> SelectorsFromProto(
    const google::protobuf::RepeatedPtrField<spire::api::types::Selector>& proto);

// Entries. `mask` null: all fields.
EntryMask MaskFromProto(const spire::api::types::EntryMask* proto);
// Reads the fields `mask` takes, selectors in the order given, also repeated ones; the entry's own
// rules (CheckEntry) are the registry's to ask.
Result<Entry> ReadEntry(const spire::api::types::Entry& proto, const EntryMask& mask,
                        const TrustDomain& trust_domain);
void WriteEntry(const Entry& entry, const EntryMask& mask, spire::api::types::Entry* proto);
// Of ListEntries and CountEntries, whose filter messages have the same fields.
Result<EntryFilter> FilterFromProto(
    const spire::api::server::entry::v1::ListEntriesRequest::Filter& proto,
    const TrustDomain& trust_domain);

// Agents.
struct AgentMask {
  bool attestation_type = true, serial = true, expires_at = true, selectors = true, banned = true,
       can_reattest = true, agent_version = true;
};
AgentMask MaskFromProto(const spire::api::types::AgentMask* proto);
void WriteAgent(const Node& node, const AgentMask& mask, spire::api::types::Agent* proto);
Result<NodeFilter> FilterFromProto(
    const spire::api::server::agent::v1::ListAgentsRequest::Filter& proto);

// Bundles.
struct BundleMask {
  bool x509_authorities = true, jwt_authorities = true, refresh_hint = true, sequence_number = true;
};
BundleMask MaskFromProto(const spire::api::types::BundleMask* proto);
// `field` names what is wrong in the error. Taints are not the caller's to state.
Result<std::vector<X509BundleAuthority>> X509AuthoritiesFromProto(
    const google::protobuf::RepeatedPtrField<spire::api::types::X509Certificate>& proto,
    std::string_view field);
Result<JwtBundleAuthority> JwtAuthorityFromProto(const spire::api::types::JWTKey& proto,
                                                 std::string_view field);
// All but the trust domain.
Result<Bundle> ReadBundle(const spire::api::types::Bundle& proto, std::string_view field);
void WriteJwtAuthorities(const Bundle& bundle,
                         google::protobuf::RepeatedPtrField<spire::api::types::JWTKey>* proto);
void WriteBundle(const Bundle& bundle, const BundleMask& mask, spire::api::types::Bundle* proto);

// SVIDs.
void WriteSvid(const IssuedSvid& svid, const SpiffeId& id, spire::api::types::X509SVID* proto);

}  // namespace signet::identity
