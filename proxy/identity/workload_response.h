// An answer of the Workload API's FetchX509SVID, checked and turned into a snapshot. The first SVID
// of several is the one used (SPIFFE Workload API, 5.2.1).
#pragma once

#include "base/clock.h"
#include "proxy/identity/identity_snapshot.h"

class X509SVIDResponse;

namespace signet::proxy {

inline constexpr Reason kWorkloadAnswerRefused{"unusable answer of the Workload API"};

// Wipes the private keys in `response`. The generation is left 0. Fails with
// kWorkloadAnswerRefused: no SVID, an ID that is not the leaf's, a key that is not the leaf's, no
// bundle for the own trust domain, or an SVID that has ended.
Result<IdentitySnapshot> ReadX509SvidResponse(X509SVIDResponse* response, WallTime now);

}  // namespace signet::proxy
