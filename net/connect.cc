#include "net/connect.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cerrno>

namespace signet::net {

Result<UniqueFd> ConnectTo(const SocketAddress& address, const Deadline& deadline) {
  UniqueFd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Fail(Code::kResourceExhausted, kConnectFailed, ErrnoText(errno));
  const int on = 1;
  if (address.family() != AF_UNIX) setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto* target = reinterpret_cast<const sockaddr*>(&address.storage);
  if (connect(fd.get(), target, address.length) == 0) return fd;
  int error = errno;
  if (error == EINPROGRESS || error == EINTR) {
    if (deadline.WaitFor(fd.get(), POLLOUT) == WaitStatus::kTimedOut)
      return Fail(Code::kDeadlineExceeded, kConnectFailed,
                  fmt::format("{}: no answer in time", address.ToString()));
    socklen_t length = sizeof error;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error == 0) return fd;
  }
  return Fail(Code::kUnavailable, kConnectFailed,
              fmt::format("{}: {}", address.ToString(), ErrnoText(error)));
}

}  // namespace signet::net
