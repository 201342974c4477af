// What the server publishes over HTTPS: the own bundle at "/" (SPIFFE Federation, 5.2), and where
// JWT-SVIDs name an issuer, the two documents by which programs that know OpenID Connect and not
// SPIFFE check them (OpenID Connect Discovery 1.0, sections 3 and 4).
//
// Threads: DocumentAt() from one thread at a time.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "identity/registry/registry.h"
#include "net/https_server.h"

namespace signet::identity {

struct BundleEndpointSettings {
  // Told to readers while the bundle has no hint of its own.
  std::chrono::seconds refresh_hint{300};
  std::string issuer;  // "https://issuer.example.org"; empty: no discovery
};

class BundleEndpoint {
 public:
  BundleEndpoint(const Registry& registry, BundleEndpointSettings settings)
      : registry_(registry), settings_(std::move(settings)) {}
  // Of the bundle as it is now. Absent: nothing is published at this path.
  std::optional<net::HttpDocument> DocumentAt(const std::string& path);

 private:
  void Refresh();
  std::string Discovery(const Bundle& bundle) const;

  const Registry& registry_;
  const BundleEndpointSettings settings_;
  BundlePtr made_of_;  // what the documents show
  net::HttpDocument bundle_;
  net::HttpDocument discovery_;
  net::HttpDocument keys_;
};

}  // namespace signet::identity
