#include "tools/ctl/proxy_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/file.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxAnswer = 64U << 20;

Error Unreachable(const std::string& socket, const std::string& why) {
  return {Code::kUnavailable, Reason{"the proxy does not answer"},
          fmt::format("{}: {}. Is signet-proxy running with `admin: {}`, and are you its user or "
                      "root?",
                      socket, why, socket)};
}

Result<UniqueFd> Dial(const Connection& connection) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (connection.socket.size() >= sizeof address.sun_path)
    return tl::unexpected(Unreachable(connection.socket, "the path is too long"));
  std::memcpy(address.sun_path, connection.socket.data(), connection.socket.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{connection.timeout.count() / 1000,
                      static_cast<suseconds_t>(connection.timeout.count() % 1000 * 1000)};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    ::setsockopt(fd.get(), SOL_SOCKET, option, &limit, sizeof limit);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return tl::unexpected(Unreachable(connection.socket, ErrnoText(errno)));
  return fd;
}

Result<std::string> Exchange(const Connection& connection, const std::string& request) {
  SIGNET_TRY(const UniqueFd fd, Dial(connection));
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return tl::unexpected(Unreachable(connection.socket, ErrnoText(errno)));
  std::string answer;
  std::array<char, 65536> buffer;
  while (answer.size() <= kMaxAnswer) {
    const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (got == 0) return answer;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected(Unreachable(connection.socket, ErrnoText(errno)));
    answer.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return tl::unexpected(Unreachable(connection.socket, "its answer has no end"));
}

}  // namespace

Result<Json> AskProxy(const Connection& connection, const std::string& path) {
  SIGNET_TRY(const std::string answer,
             Exchange(connection, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  const std::size_t head = answer.find("\r\n\r\n");
  if (head == std::string::npos)
    return tl::unexpected(Unreachable(connection.socket, "it closed the connection"));
  Json json = Json::parse(answer.substr(head + 4), nullptr, false);
  if (json.is_discarded() || !answer.starts_with("HTTP/1.1 200 "))
    return Fail(Code::kInternal, Reason{"the proxy's answer cannot be used"},
                answer.substr(0, answer.find('\r')));
  return json;
}

}  // namespace signet::ctl
