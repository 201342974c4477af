// How our bundle follows the one above: what to add, what to taint, what to take out. Pure.
#pragma once

#include <set>
#include <span>

#include "identity/server/upstream.h"
#include "identity/store/store.h"

namespace signet::identity {

// What has been seen above, so that it is missed when it is gone without a taint before.
struct UpstreamHistory {
  std::set<Bytes> roots;  // DER
  std::set<std::string> jwt_keys;
  void Add(const UpstreamTrust& trust);
};

struct TrustSteps {
  Bundle added;
  std::vector<ca::Certificate> tainted_roots;
  std::vector<std::string> tainted_jwt_keys;
  // Tainted before, so that agents had time to renew below another one.
  std::vector<ca::Certificate> gone_roots;
  std::vector<std::string> gone_jwt_keys;
};

// What ends is left to pruning. Our own authorities (`records`) are never tainted nor taken out,
// whatever the one above says of them, and its copies of our JWT authorities are not taken back. A
// root or key that is gone above is one that it held before, or that was tainted; what an
// administrator appended stays.
TrustSteps FollowUpstream(const Bundle& own, const UpstreamTrust& above,
                          const UpstreamHistory& seen, std::span<const AuthorityRecord> records,
                          WallTime now);

// The key identifier, in hex, of the root that an X.509 authority of ours is below; empty for one
// that is a root.
std::string UpstreamIdOf(const AuthorityRecord& record);
// Whether it is below one of `roots`.
bool IsBelow(const AuthorityRecord& record, std::span<const ca::Certificate> roots);

}  // namespace signet::identity
