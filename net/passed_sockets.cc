#include "net/passed_sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace signet::net {
namespace {

constexpr int kFirstPassed = 3;  // SD_LISTEN_FDS_START
constexpr int kMostPassed = 64;

// Written once, before any thread; never closed: a socket closed here would still be open there.
std::vector<int>& Passed() {
  static std::vector<int> passed;
  return passed;
}

int TakeNumber(const char* name) {
  const char* const value = std::getenv(name);
  const std::string_view text = value == nullptr ? "" : value;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = !text.empty() && error == std::errc() && end == text.data() + text.size();
  unsetenv(name);
  return whole ? number : 0;
}

int SocketOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : 0;
}

bool IsStreamListener(int fd) {
  return SocketOption(fd, SO_TYPE) == SOCK_STREAM && SocketOption(fd, SO_ACCEPTCONN) != 0;
}

bool SameInet(const sockaddr* a, const sockaddr* b) {
  if (a->sa_family == AF_INET) {
    const auto& left = *reinterpret_cast<const sockaddr_in*>(a);
    const auto& right = *reinterpret_cast<const sockaddr_in*>(b);
    return left.sin_port == right.sin_port && left.sin_addr.s_addr == right.sin_addr.s_addr;
  }
  const auto& left = *reinterpret_cast<const sockaddr_in6*>(a);
  const auto& right = *reinterpret_cast<const sockaddr_in6*>(b);
  return left.sin6_port == right.sin6_port && left.sin6_scope_id == right.sin6_scope_id &&
         std::memcmp(&left.sin6_addr, &right.sin6_addr, sizeof left.sin6_addr) == 0;
}

// Of a socket with a name in the file system; empty: it has none.
std::string_view PathOf(const sockaddr_un& address, socklen_t length) {
  const auto room = static_cast<std::size_t>(length) - offsetof(sockaddr_un, sun_path);
  if (length <= offsetof(sockaddr_un, sun_path)) return {};
  return {address.sun_path, strnlen(address.sun_path, room)};
}

bool IsBoundTo(int fd, const sockaddr* wanted, socklen_t length) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  auto* const bound = reinterpret_cast<sockaddr*>(&storage);
  if (getsockname(fd, bound, &size) != 0 || bound->sa_family != wanted->sa_family) return false;
  if (wanted->sa_family == AF_INET || wanted->sa_family == AF_INET6) return SameInet(bound, wanted);
  if (wanted->sa_family != AF_UNIX) return false;
  const auto path = PathOf(*reinterpret_cast<const sockaddr_un*>(wanted), length);
  return !path.empty() && path == PathOf(*reinterpret_cast<const sockaddr_un*>(bound), size);
}

int Find(const sockaddr* address, socklen_t length) {
  for (const int fd : Passed())
    if (IsBoundTo(fd, address, length)) return fd;
  return -1;
}

}  // namespace

std::size_t TakePassedSockets() {
  const bool ours = TakeNumber("LISTEN_PID") == static_cast<int>(getpid());
  const int count = TakeNumber("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  if (!ours) return 0;
  for (int fd = kFirstPassed; fd < kFirstPassed + count && count <= kMostPassed; ++fd) {
    if (!IsStreamListener(fd)) {
      close(fd);
      continue;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    Passed().push_back(fd);
  }
  return Passed().size();
}

UniqueFd PassedListener(const sockaddr* address, socklen_t length) {
  const int fd = Find(address, length);
  return UniqueFd(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

bool IsPassedPath(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return Find(reinterpret_cast<const sockaddr*>(&address), sizeof address) >= 0;
}

}  // namespace signet::net
