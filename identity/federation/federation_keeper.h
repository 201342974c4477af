// Keeps the bundles of the trust domains this one federates with fresh: looks at each endpoint by
// the hint of its bundle, stores what is newer, and goes on with what it has while an endpoint is
// away. Relationships come from the configuration and from the registry; one of the configuration
// hides one of the registry.
//
// Threads: a few of its own, so that a slow endpoint keeps no other waiting; Refresh() from any
// thread. The destructor waits for looks under way, which are bounded in time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "identity/federation/bundle_client.h"
#include "identity/federation/bundle_refresher.h"
#include "identity/registry/registry.h"

namespace signet::identity {

inline constexpr Reason kBundleFileUnusable{"bundle file unusable"};

// A relationship of the configuration, with what the first look is verified by.
struct StaticRelationship {
  FederationRelationship relationship;
  std::string bundle_file;  // SPIFFE bundle or PEM; read while no bundle is held; may be empty
  std::optional<ca::Sha256Digest> pin;  // as in BundleQuery
};

// A network that relationships of the registry may reach although it is internal (see
// net::IsInternalAddress): "127.0.0.0/8".
struct AllowedNetwork {
  net::SocketAddress network;
  unsigned prefix = 0;
};
// Absent when `text` is none.
std::optional<AllowedNetwork> ParseNetwork(std::string_view text);
bool Contains(const AllowedNetwork& network, const net::SocketAddress& address);

struct FederationSettings {
  std::vector<StaticRelationship> relationships;
  std::vector<AllowedNetwork> allowed_networks;
  std::string web_roots;  // PEM file
};

// What FederationKeeper works with; all of it outlives the keeper.
struct FederationParts {
  Registry& registry;
  const Clock& clock;
  Random& random;
  const Logger& log;
  Metrics& metrics;
};

class FederationKeeper final : public BundleRefresher {
 public:
  // Stores the bundles of files for trust domains that have none yet. Fails with
  // kBundleFileUnusable, or as the store does.
  static Result<std::unique_ptr<FederationKeeper>> Start(FederationSettings settings,
                                                         const FederationParts& parts);
  ~FederationKeeper() override;
  Status Refresh(const TrustDomain& trust_domain) override;

 private:
  struct State;
  explicit FederationKeeper(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::identity
