#include "net/send_all.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace signet::net {

SendEnd SendAll(int fd, std::string_view bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    const ssize_t put = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(put));
    } else if (errno == EAGAIN) {
      if (deadline.WaitFor(fd, POLLOUT) != WaitStatus::kReady) return SendEnd::kLate;
    } else if (errno != EINTR) {
      return SendEnd::kClosed;
    }
  }
  return SendEnd::kSent;
}

}  // namespace signet::net
