#include "net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "net/connect.h"
#include "net/passed_sockets.h"

namespace signet::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn
constexpr std::size_t kMaxHostLength = 255;

tl::unexpected<Error> Malformed(std::string_view text, std::string_view problem) {
  return Fail(Code::kInvalidArgument, kAddressMalformed,
              fmt::format("\"{}\": {}", text.substr(0, 300), problem));
}

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_';
}

bool ParsePort(std::string_view text, std::uint16_t* port) {
  if (text.empty() || text.size() > 5) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *port);
  return error == std::errc() && end == text.data() + text.size();
}

Result<Address> ParseUnix(std::string_view text, std::string_view path) {
  if (path.starts_with("//")) path.remove_prefix(2);  // unix:///run/x, as gRPC and SPIFFE write it
  if (path.empty()) return Malformed(text, "the path of the socket is empty");
  if (path.find('\0') != path.npos) return Malformed(text, "the path holds a zero byte");
  return Address{std::string(path), 0, true};
}

Result<sockaddr_un> UnixSocketAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Fail(Code::kInvalidArgument, kAddressMalformed,
                fmt::format("{}: the path has {} bytes; Unix sockets take at most {}", path,
                            path.size(), sizeof address.sun_path - 1));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<UniqueFd> Socket(int family, int extra_flags) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | extra_flags, 0));
  if (!fd.valid()) return Fail(Code::kResourceExhausted, kListenFailed, ErrnoText(errno));
  return fd;
}

bool Enable(int fd, int level, int option) {
  const int on = 1;
  return setsockopt(fd, level, option, &on, sizeof on) == 0;
}

Result<UniqueFd> ListenOn(const SocketAddress& address, bool reuse_port) {
  if (UniqueFd passed =
          PassedListener(reinterpret_cast<const sockaddr*>(&address.storage), address.length);
      passed.valid()) {
    Enable(passed.get(), IPPROTO_TCP, TCP_NODELAY);
    return passed;
  }
  SIGNET_TRY(UniqueFd fd, Socket(address.family(), SOCK_NONBLOCK));
  const bool set = Enable(fd.get(), SOL_SOCKET, SO_REUSEADDR) &&
                   Enable(fd.get(), IPPROTO_TCP, TCP_NODELAY) &&
                   (!reuse_port || Enable(fd.get(), SOL_SOCKET, SO_REUSEPORT));
  if (!set || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) ||
      listen(fd.get(), kBacklog)) {
    const int error = errno;
    return Fail(error == EADDRINUSE ? Code::kAlreadyExists : Code::kUnavailable, kListenFailed,
                fmt::format("{}: {}", address.ToString(), ErrnoText(error)));
  }
  return fd;
}

// Takes a socket file away that nobody answers on; anything else at the path is refused.
Status RemoveStaleSocket(const std::string& path, const sockaddr_un& address) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return Fail(Code::kUnavailable, kListenFailed, fmt::format("{}: {}", path, ErrnoText(errno)));
  }
  if (!S_ISSOCK(status.st_mode))
    return Fail(Code::kAlreadyExists, kListenFailed,
                fmt::format("{} exists and is no socket; move it away", path));
  SIGNET_TRY(UniqueFd probe, Socket(AF_UNIX, SOCK_NONBLOCK));
  const int connected =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (connected == 0 || errno != ECONNREFUSED)
    return Fail(
        Code::kAlreadyExists, kListenFailed,
        fmt::format("{} is in use by another process; stop it or choose another path", path));
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return Fail(Code::kUnavailable, kListenFailed, fmt::format("{}: {}", path, ErrnoText(errno)));
  return {};
}

}  // namespace

std::string SocketAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "?";
  if (family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(v4.sin_port));
  }
  if (family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return fmt::format("[{}]:{}", text, ntohs(v6.sin6_port));
  }
  if (family() == AF_UNIX) {
    const auto& local = reinterpret_cast<const sockaddr_un&>(storage);
    const std::size_t room =
        length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
    return "unix:" + std::string(local.sun_path, strnlen(local.sun_path, room));
  }
  return "?";
}

Result<Address> Address::Parse(std::string_view text) {
  if (text.starts_with("unix:")) return ParseUnix(text, text.substr(5));
  std::string_view host, port_text;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == text.npos || close + 1 >= text.size() || text[close + 1] != ':')
      return Malformed(text, "write IPv6 addresses as [::1]:8081");
    host = text.substr(1, close - 1);
    port_text = text.substr(close + 2);
    in6_addr parsed{};
    if (inet_pton(AF_INET6, std::string(host.substr(0, host.find('%'))).c_str(), &parsed) != 1)
      return Malformed(text, "no IPv6 address between the brackets");
  } else {
    const auto colon = text.find(':');
    if (colon == text.npos) return Malformed(text, "the port is missing, as in 127.0.0.1:8081");
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
    if (port_text.find(':') != port_text.npos)
      return Malformed(text, "write IPv6 addresses as [::1]:8081");
    if (host.empty())
      return Malformed(text, "the host is missing; for all addresses write 0.0.0.0 or [::]");
    if (host.size() > kMaxHostLength || !std::all_of(host.begin(), host.end(), IsHostCharacter))
      return Malformed(text, "no host name or IPv4 address before the colon");
  }
  Address address{std::string(host), 0, false};
  if (!ParsePort(port_text, &address.port))
    return Malformed(text, "the port is no number from 0 to 65535");
  return address;
}

std::string Address::ToString() const {
  if (is_unix) return "unix:" + host;
  if (host.find(':') != host.npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

Result<std::vector<SocketAddress>> Address::Resolve() const {
  std::vector<SocketAddress> resolved;
  if (is_unix) {
    SIGNET_TRY(const sockaddr_un local, UnixSocketAddress(host));
    SocketAddress address;
    std::memcpy(&address.storage, &local, sizeof local);
    address.length = sizeof local;
    resolved.push_back(address);
    return resolved;
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, [](addrinfo* list) {
    if (list != nullptr) freeaddrinfo(list);
  });
  for (const addrinfo* at = error == 0 ? found : nullptr; at != nullptr; at = at->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.length = at->ai_addrlen;
    resolved.push_back(address);
  }
  if (resolved.empty())
    return Fail(Code::kUnavailable, kAddressUnresolved,
                fmt::format("{}: {}", host, error == 0 ? "no address" : gai_strerror(error)));
  return resolved;
}

Result<UniqueFd> ListenTcp(const Address& address, bool reuse_port) {
  if (address.is_unix)
    return Fail(Code::kInvalidArgument, kListenFailed, "a TCP address is wanted here");
  SIGNET_TRY(const std::vector<SocketAddress> resolved, address.Resolve());
  Result<UniqueFd> listener = ListenOn(resolved.front(), reuse_port);
  for (std::size_t i = 1; !listener && i < resolved.size(); ++i)
    listener = ListenOn(resolved[i], reuse_port);
  return listener;
}

Result<UniqueFd> ListenUnix(const std::string& path, const UnixListenOptions& options) {
  SIGNET_TRY(const sockaddr_un address, UnixSocketAddress(path));
  if (UniqueFd passed = PassedListener(reinterpret_cast<const sockaddr*>(&address), sizeof address);
      passed.valid())
    return passed;
  SIGNET_RETURN_IF_ERROR(RemoveStaleSocket(path, address));
  SIGNET_TRY(UniqueFd fd, Socket(AF_UNIX, SOCK_NONBLOCK));
  const auto failed = [&path](std::string_view what) {
    return Fail(Code::kUnavailable, kListenFailed,
                fmt::format("{}: {}: {}", path, what, ErrnoText(errno)));
  };
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed("bind");
  // Nobody can connect before listen(), so the permissions are in force from the first caller on.
  if (chmod(path.c_str(), options.mode) != 0) return failed("chmod");
  if ((options.owner != -1 || options.group != -1) &&
      chown(path.c_str(), static_cast<uid_t>(options.owner), static_cast<gid_t>(options.group)))
    return failed("chown");
  if (listen(fd.get(), kBacklog) != 0) return failed("listen");
  return fd;
}

void RemoveSocketFile(const std::string& path) {
  if (!IsPassedPath(path) && !SocketFilesAreLeft()) unlink(path.c_str());
}

Result<SocketAddress> LocalAddress(int fd) {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0)
    return Fail(Code::kInternal, kListenFailed, ErrnoText(errno));
  return address;
}

Result<UniqueFd> Connect(const Address& address, std::chrono::milliseconds timeout) {
  SIGNET_TRY(const std::vector<SocketAddress> resolved, address.Resolve());
  SIGNET_TRY(const Deadline deadline, Deadline::After(timeout));
  Result<UniqueFd> connected = ConnectTo(resolved.front(), deadline);
  for (std::size_t i = 1; !connected && i < resolved.size(); ++i)
    connected = ConnectTo(resolved[i], deadline);
  return connected;
}

}  // namespace signet::net
