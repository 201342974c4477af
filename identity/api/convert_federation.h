// Federation relationships: SPIRE's messages <-> our values. Errors are INVALID_ARGUMENT and name
// the field.
#pragma once

#include <optional>

#include "identity/api/convert.h"
#include "identity/federation/relationship.h"
#include "spire/api/types/federationrelationship.pb.h"

namespace signet::identity {

// Which fields an update or an answer takes; true is taken.
struct RelationshipMask {
  bool url = true, profile = true, bundle = true;
};
// Null: all fields.
RelationshipMask MaskFromProto(const spire::api::types::FederationRelationshipMask* proto);

// A relationship as somebody states it, with the bundle to start from where one came along.
struct StatedRelationship {
  FederationRelationship relationship;
  std::optional<Bundle> bundle;
};
// Reads the trust domain and the fields `mask` takes.
Result<StatedRelationship> ReadRelationship(const spire::api::types::FederationRelationship& proto,
                                            const RelationshipMask& mask);
// `bundle` null: none is known.
void WriteRelationship(const FederationRelationship& relationship, const Bundle* bundle,
                       const RelationshipMask& mask,
                       spire::api::types::FederationRelationship* proto);

// A trust domain's name or ID as a request states it: "failed to parse trust domain: …".
Result<TrustDomain> TrustDomainFromProto(const std::string& text);

}  // namespace signet::identity
