// Fetching a foreign bundle on command.
#pragma once

#include "identity/spiffe/spiffe_id.h"

namespace signet::identity {

class BundleRefresher {
 public:
  virtual ~BundleRefresher() = default;
  // Fetches the bundle of this trust domain now and waits until it is stored. Fails with
  // kRelationshipUnknown (NOT_FOUND) when the trust domain does not federate with it, else as the
  // fetch does.
  virtual Status Refresh(const TrustDomain& trust_domain) = 0;
};

}  // namespace signet::identity
