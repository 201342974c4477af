// An answer of the Workload API's FetchX509SVID, checked and turned into values. The first SVID of
// several is the one used (SPIFFE Workload API, 5.2.1).
#pragma once

#include "base/clock.h"
#include "identity/bundle/bundle.h"
#include "net/tls.h"

class X509SVIDResponse;

namespace signet::identity {

inline constexpr Reason kWorkloadAnswerRefused{"unusable answer of the Workload API"};

// Who a workload is at one moment, and whom it can verify.
struct WorkloadIdentity {
  SpiffeId id;
  net::TlsIdentity tls;  // chain leaf first, and its key
  BundleMap bundles;     // the own trust domain's and the federated ones
  WallTime valid_until;  // the earliest end in the chain
};

// Wipes the private keys in `response`. Fails with kWorkloadAnswerRefused: no SVID, an ID that is
// not the leaf's, a key that is not the leaf's, no bundle for the own trust domain, or an SVID that
// has ended.
Result<WorkloadIdentity> ReadX509SvidResponse(X509SVIDResponse* response, WallTime now);

}  // namespace signet::identity
