// Who this proxy is at one moment, and whom it can verify: what one answer of the Workload API
// held.
//
// Threads: immutable, shared.
#pragma once

#include <memory>

#include "identity/bundle/bundle.h"
#include "identity/spiffe/spiffe_id.h"
#include "net/tls.h"

namespace signet::proxy {

struct IdentitySnapshot {
  std::uint64_t generation = 0;  // grows with each change; 0 is never one
  identity::SpiffeId id;
  net::TlsIdentity tls;         // chain leaf first, and its key
  identity::BundleMap bundles;  // the own trust domain's and the federated ones
  WallTime valid_until;         // the earliest end in the chain
};
using IdentityPtr = std::shared_ptr<const IdentitySnapshot>;  // null: none held

}  // namespace signet::proxy
