#include "net/http_page.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "net/connect.h"
#include "net/send_all.h"

namespace signet::net {
namespace {

constexpr std::size_t kMaxHead = 8 * 1024;

tl::unexpected<Error> Unusable(Code code, std::string detail) {
  return Fail(code, kPageUnusable, std::move(detail));
}

Status SendRequest(int fd, std::string_view bytes, const Deadline& deadline) {
  switch (SendAll(fd, bytes, deadline)) {
    case SendEnd::kSent:
      return {};
    case SendEnd::kLate:
      return Unusable(Code::kDeadlineExceeded, "the host took no request in time");
    case SendEnd::kClosed:
      break;
  }
  return Unusable(Code::kUnavailable, "the host closed the connection");
}

// Until the other side closes.
Result<std::string> ReceiveAll(int fd, std::size_t limit, const Deadline& deadline) {
  std::string received;
  std::array<char, 2048> buffer;
  while (true) {
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got == 0) return received;
    if (got > 0) {
      received.append(buffer.data(), static_cast<std::size_t>(got));
      if (received.size() > limit)
        return Unusable(Code::kPermissionDenied, "the host's answer is too long");
    } else if (errno == EAGAIN) {
      if (deadline.WaitFor(fd, POLLIN) != WaitStatus::kReady)
        return Unusable(Code::kDeadlineExceeded, "the host did not answer in time");
    } else if (errno != EINTR) {
      return Unusable(Code::kUnavailable, "the host closed the connection");
    }
  }
}

Result<UniqueFd> ConnectToFirst(const std::vector<SocketAddress>& addresses,
                                std::chrono::milliseconds timeout) {
  SIGNET_TRY(const Deadline deadline, Deadline::After(timeout));
  Result<UniqueFd> connected = ConnectTo(addresses.front(), deadline);
  for (std::size_t i = 1; !connected && i < addresses.size(); ++i)
    connected = ConnectTo(addresses[i], deadline);
  return connected;
}

}  // namespace

Result<std::string> ParsePage(std::string_view response, std::size_t max_body) {
  const auto end_of_head = response.find("\r\n\r\n");
  if (end_of_head == response.npos || end_of_head > kMaxHead)
    return Unusable(Code::kPermissionDenied, "the host's answer is no HTTP");
  const std::string_view status = response.substr(0, response.find("\r\n"));
  const bool is_http = status.starts_with("HTTP/1.0 ") || status.starts_with("HTTP/1.1 ");
  const std::string_view code = status.substr(is_http ? 9 : status.size());
  if (!code.starts_with("200") || (code.size() > 3 && code[3] != ' '))
    return Unusable(Code::kPermissionDenied,
                    "the host's answer is not 200 (redirects are not followed)");
  const std::string_view body = response.substr(end_of_head + 4);
  if (body.size() > max_body)
    return Unusable(Code::kPermissionDenied, "the host's answer is too long");
  return std::string(body);
}

Result<std::string> FetchPage(const PageRequest& request, std::span<const AddressRange> opened,
                              const Resolver& resolve) {
  SIGNET_TRY(const auto addresses, resolve(request.from));
  for (const SocketAddress& address : addresses) {
    if (!IsAllowedTarget(address, opened))
      return Fail(Code::kPermissionDenied, kTargetRefused,
                  fmt::format("{} leads to {} ({})", request.from.host, address.ToString(),
                              RefusedKind(address)));
  }
  if (addresses.empty()) return Fail(Code::kUnavailable, kAddressUnresolved, request.from.host);
  SIGNET_TRY(const UniqueFd fd, ConnectToFirst(addresses, request.timeout));
  SIGNET_TRY(const Deadline deadline, Deadline::After(request.timeout));
  // HTTP/1.0: the answer comes without transfer coding and ends with the connection.
  const std::string head =
      fmt::format("GET {} HTTP/1.0\r\nHost: {}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n",
                  request.path, request.from.ToString());
  SIGNET_RETURN_IF_ERROR(SendRequest(fd.get(), head, deadline));
  SIGNET_TRY(const std::string response,
             ReceiveAll(fd.get(), kMaxHead + request.max_body, deadline));
  return ParsePage(response, request.max_body);
}

}  // namespace signet::net
