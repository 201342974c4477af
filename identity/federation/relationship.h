// With whom this trust domain federates: where a foreign trust domain publishes its bundle, and how
// the endpoint proves who it is (SPIFFE Federation, section 5). The name of the trust domain and
// the profile are stated, never inferred.
#pragma once

#include "identity/spiffe/spiffe_id.h"
#include "net/https_url.h"

namespace signet::identity {

inline constexpr Reason kRelationshipExists{"federation relationship already exists"};
inline constexpr Reason kRelationshipUnknown{"federation relationship does not exist"};

enum class EndpointProfile {
  kHttpsWeb,     // a certificate of the web's authorities, for the URL's host
  kHttpsSpiffe,  // the X.509-SVID of `endpoint_id`
};

struct FederationRelationship {
  TrustDomain trust_domain;
  net::HttpsUrl url;
  EndpointProfile profile = EndpointProfile::kHttpsWeb;
  SpiffeId endpoint_id;  // kHttpsSpiffe; of any trust domain

  friend bool operator==(const FederationRelationship&, const FederationRelationship&) = default;
};

}  // namespace signet::identity
