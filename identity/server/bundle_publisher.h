// The server's HTTPS port put together: the documents of BundleEndpoint behind net::HttpsServer,
// shown with certificate files (https_web) or the server's own SVID (https_spiffe).
//
// Threads: as the server that owns it; all requests run on a thread of its own.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "identity/server/federation_config.h"
#include "identity/server/server_identity.h"

namespace signet::identity {

// What it works with; all of it outlives the publisher.
struct PublisherParts {
  const Registry& registry;
  const ServerIdentity& identity;
  const Clock& clock;
  const Logger& log;
  Metrics& metrics;
};

class BundlePublisher {
 public:
  // Fails as reading the certificate files and listening do.
  static Result<std::unique_ptr<BundlePublisher>> Start(const BundleEndpointConfig& config,
                                                        const PublisherParts& parts);
  ~BundlePublisher();

 private:
  struct State;
  explicit BundlePublisher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::identity
