#include "identity/server/admin_listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace signet::identity {
namespace {

constexpr int kRetryMilliseconds = 100;  // when descriptors have run out

}  // namespace

Result<std::unique_ptr<AdminListener>> AdminListener::Start(UniqueFd listener, Sink sink,
                                                            const Logger& log) {
  UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid())
    return Fail(Code::kInternal, net::kPeerUnknown, "eventfd: " + ErrnoText(errno));
  return std::unique_ptr<AdminListener>(
      new AdminListener(std::move(listener), std::move(stop), std::move(sink), log));
}

AdminListener::AdminListener(UniqueFd listener, UniqueFd stop, Sink sink, const Logger& log)
    : listener_(std::move(listener)), stop_(std::move(stop)), sink_(std::move(sink)), log_(log) {
  thread_ = std::thread([this] { Run(); });
}

AdminListener::~AdminListener() { Stop(); }

void AdminListener::Stop() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void AdminListener::Run() {
  for (;;) {
    pollfd fds[] = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return log_.Error("admin socket: poll failed");
    if (fds[0].revents != 0) return;
    if (fds[1].revents != 0) AcceptOne();
  }
}

void AdminListener::AcceptOne() {
  UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!connection.valid()) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      log_.Warn("admin socket: cannot accept", {{"error", ErrnoText(errno)}});
      pollfd stop{stop_.get(), POLLIN, 0};
      poll(&stop, 1, kRetryMilliseconds);
    }
    return;
  }
  const auto peer = net::ReadPeerCredentials(connection.get());
  if (!peer) {
    log_.Warn("admin socket: caller refused", {{"error", peer.error().Message()}});
    return;
  }
  sink_(std::move(connection), *peer);
}

}  // namespace signet::identity
