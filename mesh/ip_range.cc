#include "mesh/ip_range.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace signet::mesh {
namespace {

constexpr std::size_t kLongestAddress = 45;  // INET6_ADDRSTRLEN without the NUL
constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

tl::unexpected<Error> Malformed(std::string_view text, std::string_view rule) {
  return Fail(Code::kInvalidArgument, kIpRangeMalformed,
              fmt::format("\"{}\": {}", text.substr(0, kLongestAddress + 4), rule));
}

bool IsMapped(const std::uint8_t* bytes) {
  return std::memcmp(bytes, kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

}  // namespace

IpAddress IpAddress::FromBytes(Family family, const std::uint8_t* bytes) {
  IpAddress address;
  if (family == Family::kV6 && IsMapped(bytes)) {
    family = Family::kV4;
    bytes += kMappedPrefix.size();
  }
  address.family_ = family;
  std::memcpy(address.bytes_.data(), bytes, family == Family::kV4 ? 4 : 16);
  return address;
}

Result<IpAddress> IpAddress::Parse(std::string_view text) {
  if (text.size() > kLongestAddress) return Malformed(text, "not an IP address");
  const std::string copy(text);
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1)
    return FromBytes(Family::kV4, bytes.data());
  if (::inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1)
    return FromBytes(Family::kV6, bytes.data());
  return Malformed(text, "not an IP address");
}

IpAddress IpAddress::FromSockaddr(const sockaddr* address, socklen_t length) {
  if (address == nullptr || length < sizeof address->sa_family) return {};
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return FromBytes(Family::kV4, reinterpret_cast<const std::uint8_t*>(&v4.sin_addr));
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    return FromBytes(Family::kV6, v6.sin6_addr.s6_addr);
  }
  return {};
}

IpAddress IpAddress::Prefix(int length) const {
  IpAddress prefix = *this;
  for (std::size_t i = 0; i < prefix.bytes_.size(); ++i) {
    const int kept = length - static_cast<int>(i) * 8;
    if (kept >= 8) continue;
    const unsigned mask = kept <= 0 ? 0U : 0xff00U >> static_cast<unsigned>(kept);
    prefix.bytes_[i] = static_cast<std::uint8_t>(prefix.bytes_[i] & mask);
  }
  return prefix;
}

std::string IpAddress::ToString() const {
  if (empty()) return "none";
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family_ == Family::kV4 ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

Result<IpRange> IpRange::Parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view written = text.substr(0, slash);
  SIGNET_TRY(const IpAddress base, IpAddress::Parse(written));
  if (base.family() == IpAddress::Family::kV4 && written.find(':') != std::string_view::npos)
    return Malformed(text, "an IPv4 range is written as IPv4");
  IpRange range;
  range.base_ = base;
  range.length_ = base.bits();
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, range.length_);
    if (error != std::errc() || stop != end || range.length_ < 0 || range.length_ > base.bits())
      return Malformed(text, fmt::format("the length is a whole number up to {}", base.bits()));
  }
  if (base.Prefix(range.length_) != base)
    return Malformed(text, fmt::format("bits are set after the length; {}/{} is the range meant",
                                       base.Prefix(range.length_).ToString(), range.length_));
  return range;
}

std::string IpRange::ToString() const {
  return length_ == base_.bits() ? base_.ToString()
                                 : fmt::format("{}/{}", base_.ToString(), length_);
}

}  // namespace signet::mesh
