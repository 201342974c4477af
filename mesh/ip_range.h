// IP addresses and CIDR ranges as policies compare them: an IPv4 address written as IPv6
// ("::ffff:10.0.0.1") is the IPv4 address, and an IPv4 range holds no IPv6 address, nor the other
// way round.
//
// Threads: values.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet::mesh {

inline constexpr Reason kIpRangeMalformed{"malformed address range"};

// A default address is no address: it lies in no range.
class IpAddress {
 public:
  enum class Family : std::uint8_t { kNone, kV4, kV6 };

  IpAddress() = default;
  // "10.0.0.1" or "2001:db8::1", without port or zone. Fails with kIpRangeMalformed.
  static Result<IpAddress> Parse(std::string_view text);
  // Anything but AF_INET and AF_INET6 is no address. A zone identifier is ignored.
  static IpAddress FromSockaddr(const sockaddr* address, socklen_t length);

  Family family() const { return family_; }
  bool empty() const { return family_ == Family::kNone; }
  int bits() const { return family_ == Family::kV4 ? 32 : family_ == Family::kV6 ? 128 : 0; }
  // The address with all bits after the first `length` zeroed.
  IpAddress Prefix(int length) const;
  // In network order; of an IPv4 address the first four count, the rest is zero.
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  std::string ToString() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  static IpAddress FromBytes(Family family, const std::uint8_t* bytes);
  Family family_ = Family::kNone;
  std::array<std::uint8_t, 16> bytes_{};
};

// "10.0.0.0/8", "2001:db8::/32", or one address. A default range holds nothing.
class IpRange {
 public:
  IpRange() = default;
  // Fails with kIpRangeMalformed: not an address, a length that does not fit it, bits set after the
  // length, or an IPv4 range written as IPv6.
  static Result<IpRange> Parse(std::string_view text);

  bool Contains(const IpAddress& address) const {
    return !base_.empty() && address.family() == base_.family() && address.Prefix(length_) == base_;
  }
  const IpAddress& base() const { return base_; }
  int length() const { return length_; }
  std::string ToString() const;

 private:
  IpAddress base_;
  int length_ = 0;
};

}  // namespace signet::mesh
