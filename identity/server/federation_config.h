// The federation section of the server's configuration: what is published over HTTPS, and the trust
// domains it federates with.
#pragma once

#include <optional>

#include "base/config.h"
#include "identity/federation/bundle_endpoint.h"
#include "identity/federation/federation_keeper.h"

namespace signet::identity {

struct BundleEndpointConfig {
  net::Address listen;
  EndpointProfile profile = EndpointProfile::kHttpsWeb;
  std::string certificate_file;  // kHttpsWeb
  std::string key_file;          // kHttpsWeb
  BundleEndpointSettings documents;
};

struct FederationConfig {
  std::optional<BundleEndpointConfig> endpoint;  // absent: nothing is published
  FederationSettings settings;
};

// Reads the map "federation" of `root`. `jwt_issuer`: "iss" of JWT-SVIDs, may be empty.
FederationConfig ReadFederation(ConfigMap& root, const TrustDomain& trust_domain,
                                const std::string& jwt_issuer);

}  // namespace signet::identity
