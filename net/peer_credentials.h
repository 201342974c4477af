// Who is on the other end of a Unix socket, from the kernel: credentials as of connect(), and a
// pidfd that pins the process (SO_PEERPIDFD, Linux 6.5; pidfd_open with a start-time check before
// that).
#pragma once

#include <sys/types.h>

#include "base/file.h"

namespace signet::net {

inline constexpr Reason kPeerGone{"peer process is gone"};
inline constexpr Reason kPeerUnknown{"peer credentials unavailable"};

struct PeerCredentials {
  pid_t pid = -1;  // 0: in a pid namespace this one cannot see
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  UniqueFd pidfd;                // invalid only when the process was gone already
  std::uint64_t start_time = 0;  // field 22 of /proc/PID/stat, in clock ticks
};

// A process held by a pidfd, with its start time unchanged across the opening. Fails with
// kPeerGone, kPeerUnknown.
struct PinnedProcess {
  UniqueFd pidfd;
  std::uint64_t start_time = 0;
};
Result<PinnedProcess> PinProcess(pid_t pid);

// Succeeds also for a process that is gone already (then IsAlive() says no). Fails with
// kPeerUnknown. Credentials are frozen at connect(): a child that inherited the socket shows its
// parent's.
Result<PeerCredentials> ReadPeerCredentials(int socket);
// The same for a process somebody names, which is pinned with the effective user and group it has
// now. Fails with kPeerGone or kPeerUnknown.
Result<PeerCredentials> ReadProcessCredentials(pid_t pid);
// Still the same process: the pidfd is not readable and the start time is unchanged. Ask after
// reading /proc.
bool IsAlive(const PeerCredentials& peer);

}  // namespace signet::net
