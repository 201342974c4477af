// Who this proxy is at one moment, and whom it can verify: what one answer of the Workload API
// held.
//
// Threads: immutable, shared.
#pragma once

#include <memory>

#include "identity/workload/workload_response.h"

namespace signet::proxy {

struct IdentitySnapshot : identity::WorkloadIdentity {
  std::uint64_t generation = 0;  // grows with each change; 0 is never one
};
using IdentityPtr = std::shared_ptr<const IdentitySnapshot>;  // null: none held

}  // namespace signet::proxy
