// What the kernel says about a process, as SPIRE's unix selectors: uid, user, gid, group,
// supplementary_gid, supplementary_group, and, when discovery is on, path and sha256.
//
// A fact that cannot be learned (no permission, binary too large) is left out: fewer selectors
// grant less. A process that is gone, or is no longer who connected, is refused as a whole.
//
// path is given only when it means what an operator reads in it: the process sees the same mounts
// as the agent, or the agent finds the very same file there. Elsewhere a caller could arrange any
// path.
//
// Threads: safe from any thread. Attest() may block on disk and name services.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/workload/binary_digests.h"
#include "base/metrics.h"
#include "identity/spiffe/selector.h"
#include "net/peer_credentials.h"

namespace signet::agent {

inline constexpr Reason kCallerGone{"caller is gone"};
inline constexpr Reason kCallerChanged{"caller changed its credentials since it connected"};
inline constexpr Reason kCallerUnreadable{"caller cannot be examined"};

struct UnixAttestorOptions {
  bool discover_path = false;
  std::uint64_t sha256_limit = 256U << 20;  // bytes of the largest binary hashed; 0: none is
};

class UnixAttestor {
 public:
  UnixAttestor(const UnixAttestorOptions& options, Metrics& metrics);

  // Fails with kCallerGone, kCallerChanged or kCallerUnreadable.
  Result<identity::SelectorSet> Attest(const net::PeerCredentials& peer);

 private:
  void AddBinary(int proc_fd, std::vector<identity::Selector>* selectors);

  const UnixAttestorOptions options_;
  BinaryDigests digests_;
  Counter& omitted_;
};

}  // namespace signet::agent
