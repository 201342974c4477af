#include "net/peer_credentials.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>

#include "net/peer_pin.h"

namespace signet::net {
namespace {

constexpr int kSoPeerPidFd = 77;  // SO_PEERPIDFD, Linux 6.5; not in Debian 12's headers

// Field 22 of /proc/PID/stat; 0 when the process is gone or hidden. The name in field 2 may hold
// any byte, so the fields are counted from the last ')'.
std::uint64_t ReadStartTime(pid_t pid) {
  if (pid <= 0) return 0;
  const UniqueFd file(open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return 0;
  char buffer[1024];
  const ssize_t got = read(file.get(), buffer, sizeof buffer);
  if (got <= 0) return 0;
  std::string_view text(buffer, static_cast<std::size_t>(got));
  const auto name_end = text.rfind(')');
  if (name_end == text.npos) return 0;
  text.remove_prefix(name_end + 1);
  for (int field = 3; field <= 22; ++field) {  // " S 1 2 …": each field follows one blank
    const auto blank = text.find(' ');
    if (blank == text.npos) return 0;
    text.remove_prefix(blank + 1);
  }
  std::uint64_t ticks = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ticks);
  return error == std::errc() ? ticks : 0;
}

// The effective one of the four ids in a line "Uid:\t1\t2\t3\t4" of /proc/PID/status.
std::optional<std::uint32_t> EffectiveId(std::string_view status, std::string_view label) {
  const auto found = status.find(label);
  if (found == status.npos) return std::nullopt;
  status.remove_prefix(found + label.size());
  const auto second = status.find('\t', 1);
  if (second == status.npos) return std::nullopt;
  status.remove_prefix(second + 1);
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(status.data(), status.data() + status.size(), id);
  return error == std::errc() ? std::optional(id) : std::nullopt;
}

bool HasExited(int pidfd) {
  pollfd polled{pidfd, POLLIN, 0};
  return poll(&polled, 1, 0) != 0;  // also when poll fails: not known to be alive
}

}  // namespace

Result<PinnedProcess> PinProcess(pid_t pid) {
  if (pid <= 0) return Fail(Code::kNotFound, kPeerGone, fmt::format("process id {}", pid));
  const std::uint64_t before = ReadStartTime(pid);
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid() && errno == ESRCH)
    return Fail(Code::kNotFound, kPeerGone, fmt::format("process {}", pid));
  if (!pidfd.valid())
    return Fail(Code::kUnavailable, kPeerUnknown,
                fmt::format("pidfd_open({}): {}", pid, ErrnoText(errno)));
  if (before == 0 || ReadStartTime(pid) != before)
    return Fail(Code::kNotFound, kPeerGone, fmt::format("process {}", pid));
  return PinnedProcess{std::move(pidfd), before};
}

namespace {

// Without a pidfd yet.
Result<PeerCredentials> ReadKernelCredentials(int socket) {
  ucred kernel{};
  socklen_t length = sizeof kernel;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &kernel, &length) != 0)
    return Fail(Code::kInternal, kPeerUnknown, ErrnoText(errno));
  if (kernel.pid == 0 && kernel.uid == static_cast<uid_t>(-1))
    return Fail(Code::kInvalidArgument, kPeerUnknown, "not a connected Unix socket");
  PeerCredentials peer;
  peer.pid = kernel.pid;
  peer.uid = kernel.uid;
  peer.gid = kernel.gid;
  return peer;
}

}  // namespace

Result<PeerCredentials> ReadPeerByNumber(int socket) {
  SIGNET_TRY(PeerCredentials peer, ReadKernelCredentials(socket));
  Result<PinnedProcess> pinned = PinProcess(peer.pid);
  if (!pinned && pinned.error().reason != kPeerGone) return Fail(std::move(pinned).error());
  if (pinned) {
    peer.pidfd = std::move(pinned->pidfd);
    peer.start_time = pinned->start_time;
  }
  return peer;
}

Result<PeerCredentials> ReadPeerCredentials(int socket) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  if (getsockopt(socket, SOL_SOCKET, kSoPeerPidFd, &pidfd, &length) != 0) {
    if (errno == ENOPROTOOPT) return ReadPeerByNumber(socket);  // before Linux 6.5
    if (errno != ESRCH && errno != EINVAL)
      return Fail(Code::kResourceExhausted, kPeerUnknown, ErrnoText(errno));
  }
  UniqueFd held(pidfd);
  SIGNET_TRY(PeerCredentials peer, ReadKernelCredentials(socket));
  peer.pidfd = std::move(held);
  if (peer.pidfd.valid()) peer.start_time = ReadStartTime(peer.pid);
  return peer;
}

Result<PeerCredentials> ReadProcessCredentials(pid_t pid) {
  SIGNET_TRY(PinnedProcess pinned, PinProcess(pid));
  const UniqueFd file(open(fmt::format("/proc/{}/status", pid).c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[4096];  // the lines meant are among the first
  const ssize_t got = file.valid() ? read(file.get(), buffer, sizeof buffer) : -1;
  if (got <= 0) return Fail(Code::kNotFound, kPeerGone, fmt::format("process {}", pid));
  const std::string_view status(buffer, static_cast<std::size_t>(got));
  const auto uid = EffectiveId(status, "\nUid:");
  const auto gid = EffectiveId(status, "\nGid:");
  if (!uid || !gid)
    return Fail(Code::kUnavailable, kPeerUnknown, fmt::format("status of process {}", pid));
  PeerCredentials peer;
  peer.pid = pid;
  peer.uid = *uid;
  peer.gid = *gid;
  peer.pidfd = std::move(pinned.pidfd);
  peer.start_time = pinned.start_time;
  if (!IsAlive(peer)) return Fail(Code::kNotFound, kPeerGone, fmt::format("process {}", pid));
  return peer;
}

bool IsAlive(const PeerCredentials& peer) {
  if (!peer.pidfd.valid() || HasExited(peer.pidfd.get())) return false;
  if (peer.pid == 0) return true;  // not visible in this pid namespace; the pidfd has answered
  return peer.start_time != 0 && ReadStartTime(peer.pid) == peer.start_time;
}

}  // namespace signet::net
