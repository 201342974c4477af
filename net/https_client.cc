#include "net/https_client.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"
#include "net/connect.h"
#include "net/http_response.h"

namespace signet::net {
namespace {

tl::unexpected<Error> Failed(const HttpsUrl& url, std::string_view what) {
  return Fail(Code::kUnavailable, kFetchFailed, fmt::format("{}: {}", url.text(), what));
}
tl::unexpected<Error> Refused(const HttpsUrl& url, std::string_view what) {
  return Fail(Code::kFailedPrecondition, kFetchRefused, fmt::format("{}: {}", url.text(), what));
}

Result<UniqueFd> Dial(const HttpsQuery& query, const Deadline& deadline) {
  const HttpsUrl& url = query.url;
  if (url.port() == 0 || url.port() > std::numeric_limits<std::uint16_t>::max())
    return Refused(url, "there is no such port");
  const Address address{url.host(), static_cast<std::uint16_t>(url.port()), false};
  SIGNET_TRY(const std::vector<SocketAddress> resolved, address.Resolve());
  Result<UniqueFd> connected = Failed(url, "no address");
  for (const SocketAddress& one : resolved) {
    if (query.permit) SIGNET_RETURN_IF_ERROR(query.permit(one));
    connected = ConnectTo(one, deadline);
    if (connected) break;
  }
  return connected;
}

// Waits until the stream's socket is ready for what `status` wants.
Status Wait(const TlsStream& stream, IoStatus status, const Deadline& deadline,
            const HttpsUrl& url) {
  const short events = status == IoStatus::kWantWrite ? POLLOUT : POLLIN;
  if (deadline.WaitFor(stream.fd(), events) == WaitStatus::kReady) return {};
  return Fail(Code::kDeadlineExceeded, kFetchFailed, url.text() + ": no answer in time");
}

Status ShakeHands(TlsStream& stream, const Deadline& deadline, const HttpsUrl& url) {
  while (true) {
    const IoStatus status = stream.Handshake();
    if (status == IoStatus::kOk) return {};
    if (status == IoStatus::kError) {
      Error error = stream.error();
      error.detail = url.text() + ": " + error.detail;
      return Fail(std::move(error));
    }
    SIGNET_RETURN_IF_ERROR(Wait(stream, status, deadline, url));
  }
}

std::string RequestOf(const HttpsQuery& query) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
      "{}User-Agent: signet\r\nConnection: close\r\n\r\n",
      query.url.target(), query.url.HostField(),
      query.if_none_match.empty() ? "" : "If-None-Match: " + query.if_none_match + "\r\n");
}

Status Send(TlsStream& stream, const std::string& request, const Deadline& deadline,
            const HttpsUrl& url) {
  std::string_view left = request;
  while (!left.empty()) {
    const IoResult result = stream.Write(AsBytes(left));
    if (result.status == IoStatus::kError) return Failed(url, "the connection broke");
    left.remove_prefix(result.bytes);
    if (!left.empty()) SIGNET_RETURN_IF_ERROR(Wait(stream, IoStatus::kWantWrite, deadline, url));
  }
  return {};
}

Status Receive(TlsStream& stream, HttpResponseReader& reader, const Deadline& deadline,
               const HttpsUrl& url) {
  std::array<std::uint8_t, 16 * 1024> buffer;
  ResponseStatus status = ResponseStatus::kIncomplete;
  while (status == ResponseStatus::kIncomplete) {
    const IoResult result = stream.Read(buffer);
    if (result.status == IoStatus::kOk)
      status = reader.Add(AsText(ByteView(buffer).first(result.bytes)));
    else if (result.status == IoStatus::kEof)
      status = reader.End();
    else if (result.status == IoStatus::kError)
      return Failed(url, "the connection broke");
    else
      SIGNET_RETURN_IF_ERROR(Wait(stream, result.status, deadline, url));
  }
  if (status == ResponseStatus::kComplete) return {};
  return Refused(url, status == ResponseStatus::kTooLarge
                          ? "the answer is too large"
                          : "the answer is no well-formed HTTP/1.1");
}

bool IsInternalV4(std::uint32_t address) {
  const std::uint32_t first = address >> 24;
  return first == 0 || first == 127 || address >> 16 == 0xa9fe || first >= 224;
}

}  // namespace

Result<HttpsAnswer> FetchHttps(const HttpsQuery& query) {
  CHECK_TRUE(query.context->options().role == TlsRole::kClient);
  SIGNET_TRY(const Deadline deadline, Deadline::After(query.timeout));
  SIGNET_TRY(UniqueFd socket, Dial(query, deadline));
  TlsStream stream(query.context, std::move(socket));
  SIGNET_RETURN_IF_ERROR(ShakeHands(stream, deadline, query.url));
  SIGNET_RETURN_IF_ERROR(Send(stream, RequestOf(query), deadline, query.url));
  HttpResponseReader reader(query.max_body_bytes);
  SIGNET_RETURN_IF_ERROR(Receive(stream, reader, deadline, query.url));
  const int status = reader.status();
  if (status >= 300 && status < 400 && status != 304)
    return Refused(query.url, "it redirects; configure the URL it redirects to");
  if (status != 200 && status != 304)
    return Refused(query.url, fmt::format("it answers with status {}", status));
  return HttpsAnswer{status, reader.etag(), reader.TakeBody(), stream.peer()};
}

bool IsInternalAddress(const SocketAddress& address) {
  if (address.family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
    return IsInternalV4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.family() != AF_INET6) return true;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr;
  const std::uint8_t* bytes = v6.s6_addr;
  const auto v4_at = [bytes](int at) {
    return static_cast<std::uint32_t>(bytes[at]) << 24 |
           static_cast<std::uint32_t>(bytes[at + 1]) << 16 |
           static_cast<std::uint32_t>(bytes[at + 2]) << 8 | bytes[at + 3];
  };
  constexpr std::array<std::uint8_t, 12> kNat64 = {0x00, 0x64, 0xff, 0x9b};  // RFC 6052, 2.1
  if (std::equal(kNat64.begin(), kNat64.end(), bytes)) return IsInternalV4(v4_at(12));
  if (bytes[0] == 0x20 && bytes[1] == 0x02) return IsInternalV4(v4_at(2));  // RFC 3056, 2
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return IsInternalV4(v4_at(12));
  // ::1, :: and the deprecated IPv4-compatible ones; fe80::/10 and fec0::/10; ff00::/8.
  const bool low = std::all_of(bytes, bytes + 12, [](std::uint8_t byte) { return byte == 0; });
  return low || (bytes[0] == 0xfe && bytes[1] >= 0x80) || bytes[0] == 0xff;
}

}  // namespace signet::net
