#include "proxy/forward/proxy_header.h"

#include <netinet/in.h>

#include <array>
#include <cstring>

namespace signet::proxy {
namespace {

constexpr std::array<std::uint8_t, 12> kSignature = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                     0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr std::uint8_t kVersion2Proxy = 0x21;
constexpr std::uint8_t kUnspecified = 0x00;
constexpr std::uint8_t kTcp4 = 0x11;
constexpr std::uint8_t kTcp6 = 0x21;
constexpr std::uint8_t kTypeSsl = 0x20;
constexpr std::uint8_t kSslWithCertificate = 0x07;  // SSL, CERT_CONN and CERT_SESS

void AppendBytes(const void* bytes, std::size_t size, Bytes* out) {
  const auto* first = static_cast<const std::uint8_t*>(bytes);
  out->insert(out->end(), first, first + size);
}

void AppendSize(std::size_t size, Bytes* out) {
  out->push_back(static_cast<std::uint8_t>(size >> 8));
  out->push_back(static_cast<std::uint8_t>(size & 0xff));
}

template <class Sockaddr>
Sockaddr As(const net::SocketAddress& address) {
  Sockaddr typed{};
  std::memcpy(&typed, &address.storage, sizeof typed);
  return typed;
}

// Answers the family byte; ports are in network order already.
std::uint8_t AppendAddresses(const net::SocketAddress& source,
                             const net::SocketAddress& destination, Bytes* out) {
  if (source.family() != destination.family()) return kUnspecified;
  if (source.family() == AF_INET) {
    const auto from = As<sockaddr_in>(source);
    const auto to = As<sockaddr_in>(destination);
    AppendBytes(&from.sin_addr, sizeof from.sin_addr, out);
    AppendBytes(&to.sin_addr, sizeof to.sin_addr, out);
    AppendBytes(&from.sin_port, sizeof from.sin_port, out);
    AppendBytes(&to.sin_port, sizeof to.sin_port, out);
    return kTcp4;
  }
  if (source.family() == AF_INET6) {
    const auto from = As<sockaddr_in6>(source);
    const auto to = As<sockaddr_in6>(destination);
    AppendBytes(&from.sin6_addr, sizeof from.sin6_addr, out);
    AppendBytes(&to.sin6_addr, sizeof to.sin6_addr, out);
    AppendBytes(&from.sin6_port, sizeof from.sin6_port, out);
    AppendBytes(&to.sin6_port, sizeof to.sin6_port, out);
    return kTcp6;
  }
  return kUnspecified;
}

}  // namespace

Bytes MakeProxyHeader(const net::SocketAddress& source, const net::SocketAddress& destination,
                      std::string_view spiffe_id) {
  Bytes rest;
  const std::uint8_t family = AppendAddresses(source, destination, &rest);
  rest.push_back(kTypeSsl);
  AppendSize(5, &rest);
  rest.push_back(kSslWithCertificate);
  rest.insert(rest.end(), 4, 0);  // verify: it was
  rest.push_back(kProxyTypeSpiffeId);
  AppendSize(spiffe_id.size(), &rest);
  AppendBytes(spiffe_id.data(), spiffe_id.size(), &rest);
  Bytes header(kSignature.begin(), kSignature.end());
  header.push_back(kVersion2Proxy);
  header.push_back(family);
  AppendSize(rest.size(), &header);
  header.insert(header.end(), rest.begin(), rest.end());
  return header;
}

}  // namespace signet::proxy
