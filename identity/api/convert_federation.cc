#include "identity/api/convert_federation.h"

namespace signet::identity {
namespace {

namespace types = spire::api::types;

tl::unexpected<Error> Invalid(std::string detail) {
  return Fail(Code::kInvalidArgument, kFieldInvalid, std::move(detail));
}

Status ReadUrl(const std::string& text, FederationRelationship* relationship) {
  auto url = net::HttpsUrl::Parse(text);
  if (!url) return Invalid("bundle endpoint: " + url.error().Message());
  relationship->url = *std::move(url);
  return {};
}

Status ReadProfile(const types::FederationRelationship& proto,
                   FederationRelationship* relationship) {
  switch (proto.bundle_endpoint_profile_case()) {
    case types::FederationRelationship::kHttpsWeb:
      relationship->profile = EndpointProfile::kHttpsWeb;
      return {};
    case types::FederationRelationship::kHttpsSpiffe: {
      auto id = SpiffeId::Parse(proto.https_spiffe().endpoint_spiffe_id());
      if (!id) return Invalid("failed to parse endpoint SPIFFE ID: " + id.error().Message());
      relationship->profile = EndpointProfile::kHttpsSpiffe;
      relationship->endpoint_id = *std::move(id);
      return {};
    }
    case types::FederationRelationship::BUNDLE_ENDPOINT_PROFILE_NOT_SET:
      break;
  }
  return Invalid("unsupported bundle endpoint profile: state https_web or https_spiffe");
}

Result<Bundle> ReadBundleOf(const TrustDomain& trust_domain, const types::Bundle& proto) {
  auto stated = TrustDomain::FromNameOrId(proto.trust_domain());
  if (!stated) {
    return Invalid(
        "failed to parse bundle: invalid trust domain: " +
        (proto.trust_domain().empty() ? "trust domain is missing" : stated.error().Message()));
  }
  SIGNET_TRY(Bundle bundle, ReadBundle(proto, "failed to parse bundle"));
  if (*stated != trust_domain) {
    return Invalid("trust domain bundle (\"" + stated->name() +
                   "\") must match the trust domain of the federation relationship (\"" +
                   trust_domain.name() + "\")");
  }
  bundle.trust_domain = trust_domain;
  return bundle;
}

}  // namespace

RelationshipMask MaskFromProto(const types::FederationRelationshipMask* proto) {
  if (proto == nullptr) return {};
  return {.url = proto->bundle_endpoint_url(),
          .profile = proto->bundle_endpoint_profile(),
          .bundle = proto->trust_domain_bundle()};
}

Result<TrustDomain> TrustDomainFromProto(const std::string& text) {
  if (text.empty()) return Invalid("failed to parse trust domain: trust domain is missing");
  auto domain = TrustDomain::FromNameOrId(text);
  if (!domain) return Invalid("failed to parse trust domain: " + domain.error().Message());
  return domain;
}

Result<StatedRelationship> ReadRelationship(const types::FederationRelationship& proto,
                                            const RelationshipMask& mask) {
  StatedRelationship stated;
  FederationRelationship& relationship = stated.relationship;
  SIGNET_TRY(relationship.trust_domain, TrustDomainFromProto(proto.trust_domain()));
  if (mask.url) SIGNET_RETURN_IF_ERROR(ReadUrl(proto.bundle_endpoint_url(), &relationship));
  if (mask.profile) SIGNET_RETURN_IF_ERROR(ReadProfile(proto, &relationship));
  if (mask.bundle && proto.has_trust_domain_bundle()) {
    SIGNET_TRY(stated.bundle, ReadBundleOf(relationship.trust_domain, proto.trust_domain_bundle()));
  }
  return stated;
}

void WriteRelationship(const FederationRelationship& relationship, const Bundle* bundle,
                       const RelationshipMask& mask, types::FederationRelationship* proto) {
  proto->set_trust_domain(relationship.trust_domain.name());
  if (mask.url) proto->set_bundle_endpoint_url(relationship.url.text());
  if (mask.profile && relationship.profile == EndpointProfile::kHttpsWeb)
    proto->mutable_https_web();
  if (mask.profile && relationship.profile == EndpointProfile::kHttpsSpiffe) {
    proto->mutable_https_spiffe()->set_endpoint_spiffe_id(relationship.endpoint_id.ToString());
  }
  if (mask.bundle && bundle != nullptr)
    WriteBundle(*bundle, BundleMask{}, proto->mutable_trust_domain_bundle());
}

}  // namespace signet::identity
