// Asking a bundle endpoint for its bundle, by the profile that was agreed on and no other (SPIFFE
// Federation, 5.2): over https_web the endpoint is who the web's authorities say, over https_spiffe
// it is one SPIFFE ID, verified against the bundle of that ID's own trust domain.
//
// Threads: safe from any thread; Fetch() blocks.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "ca/crypto/digest.h"
#include "identity/bundle/bundle.h"
#include "identity/federation/relationship.h"
#include "net/https_client.h"

namespace signet::identity {

inline constexpr Reason kEndpointUnverifiable{"endpoint cannot be verified"};
inline constexpr Reason kEndpointNotItself{"endpoint is another one"};
inline constexpr Reason kPinNotServed{"no authority of the endpoint has the pinned digest"};

struct BundleQuery {
  FederationRelationship relationship;
  // https_spiffe: the bundle that `relationship.endpoint_id` verifies against; null: none is known.
  std::shared_ptr<const Bundle> endpoint_bundle;
  // https_spiffe, while endpoint_bundle is null and the endpoint serves its own trust domain: the
  // SHA-256 of an X.509 authority that its bundle must hold and its certificate must stand under.
  std::optional<ca::Sha256Digest> pin;
  std::string etag;  // of the document that is held; empty: fetch it whole
  std::function<Status(const net::SocketAddress&)> permit;  // as in net::HttpsQuery
};

struct BundleAnswer {
  bool unchanged = false;  // then the rest is empty
  ParsedBundle parsed;
  std::string etag;
};

class BundleClient {
 public:
  // `web_roots`: a PEM file, read anew for each https_web fetch, so that updates count.
  BundleClient(std::string web_roots, const Clock& clock)
      : web_roots_(std::move(web_roots)), clock_(clock) {}

  // Fails with the reasons above, net's of fetching, verifying and loading roots, and
  // kBundleMalformed.
  Result<BundleAnswer> Fetch(const BundleQuery& query) const;

 private:
  Result<std::shared_ptr<const net::PeerVerifier>> VerifierFor(const BundleQuery& query) const;

  const std::string web_roots_;
  const Clock& clock_;
};

}  // namespace signet::identity
