#include "net/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"

namespace signet::net {
namespace {

using Bytes16 = std::array<std::uint8_t, 16>;

constexpr int kMappedBits = 96;

Bytes16 Mapped(const in_addr& address) {
  Bytes16 bytes{};
  bytes[10] = bytes[11] = 0xff;
  std::memcpy(bytes.data() + 12, &address, 4);
  return bytes;
}

bool ToBytes16(const SocketAddress& address, Bytes16* bytes) {
  if (address.family() == AF_INET) {
    *bytes = Mapped(reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr);
    return true;
  }
  if (address.family() != AF_INET6) return false;
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr;
  std::memcpy(bytes->data(), &six, bytes->size());
  return true;
}

bool SamePrefix(const Bytes16& a, const Bytes16& b, int bits) {
  for (int i = 0; i < 16 && bits > 0; ++i, bits -= 8) {
    const auto mask = static_cast<std::uint8_t>(bits >= 8 ? 0xff : 0xff << (8 - bits));
    if (((a[static_cast<std::size_t>(i)] ^ b[static_cast<std::size_t>(i)]) & mask) != 0)
      return false;
  }
  return true;
}

struct Kind {
  const char* range;
  const char* name;
};
// RFC 6890 and its registries, as far as no host answers there or it is not the one meant.
constexpr std::array<Kind, 18> kKinds = {{
    {"127.0.0.0/8", "loopback"},
    {"::1", "loopback"},
    {"169.254.0.0/16", "link-local"},
    {"fe80::/10", "link-local"},
    {"0.0.0.0/8", "unspecified"},
    {"::", "unspecified"},
    {"100.100.100.200", "a metadata service"},
    {"192.0.0.0/24", "a protocol assignment"},
    {"fd00:ec2::254", "a metadata service"},
    {"fd20:ce::254", "a metadata service"},
    {"224.0.0.0/4", "multicast"},
    {"ff00::/8", "multicast"},
    {"240.0.0.0/4", "reserved"},
    {"64:ff9b::/96", "an IPv4 address behind NAT64"},
    {"64:ff9b:1::/48", "an IPv4 address behind NAT64"},
    {"2002::/16", "an IPv4 address behind 6to4"},
    {"2001::/32", "an IPv4 address behind Teredo"},
    {"::/96", "an IPv4-compatible address"},
}};

}  // namespace

Result<AddressRange> AddressRange::Parse(std::string_view text) {
  const auto bad = [&] {
    return Fail(Code::kInvalidArgument, kAddressMalformed,
                "\"" + std::string(text.substr(0, 64)) + "\" is no range such as 10.0.0.0/8");
  };
  const auto slash = text.find('/');
  const std::string address(text.substr(0, slash));
  AddressRange range;
  in_addr four{};
  const bool is_four = inet_pton(AF_INET, address.c_str(), &four) == 1;
  if (is_four) range.bytes_ = Mapped(four);
  if (!is_four && inet_pton(AF_INET6, address.c_str(), range.bytes_.data()) != 1) return bad();
  if (slash == text.npos) return range;
  int bits = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, bits);
  if (error != std::errc() || stop != end || bits < 0 || bits > (is_four ? 32 : 128)) return bad();
  range.bits_ = is_four ? kMappedBits + bits : bits;
  for (int bit = range.bits_; bit < 128; ++bit)
    if ((range.bytes_[static_cast<std::size_t>(bit / 8)] >> (7 - bit % 8) & 1) != 0) return bad();
  return range;
}

bool AddressRange::Contains(const SocketAddress& address) const {
  Bytes16 bytes{};
  return ToBytes16(address, &bytes) && SamePrefix(bytes, bytes_, bits_);
}

const char* RefusedKind(const SocketAddress& address) {
  static const auto kRanges = [] {
    std::array<AddressRange, kKinds.size()> ranges;
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
      auto range = AddressRange::Parse(kKinds[i].range);
      CHECK_TRUE(range.has_value());
      ranges[i] = *range;
    }
    return ranges;
  }();
  if (address.family() != AF_INET && address.family() != AF_INET6) return "no IP address";
  for (std::size_t i = 0; i < kRanges.size(); ++i)
    if (kRanges[i].Contains(address)) return kKinds[i].name;
  return nullptr;
}

bool IsAllowedTarget(const SocketAddress& address, std::span<const AddressRange> opened) {
  return RefusedKind(address) == nullptr ||
         std::any_of(opened.begin(), opened.end(),
                     [&](const AddressRange& range) { return range.Contains(address); });
}

}  // namespace signet::net
