// Where a program lets itself be sent by somebody else's word (server-side request forgery): kinds
// of addresses that are no ordinary hosts, and ranges an operator may open. Pure.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "net/address.h"

namespace signet::net {

// "10.0.0.0/8", "fd00::/8", or one address. IPv4 addresses are held as IPv6 holds them
// (::ffff:a.b.c.d), so that neither way of writing one passes where the other does not.
class AddressRange {
 public:
  // Fails with kAddressMalformed, also when bits behind the prefix are set.
  static Result<AddressRange> Parse(std::string_view text);
  bool Contains(const SocketAddress& address) const;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  int bits_ = 128;
};

// Null for ordinary unicast addresses. Else what it is, in words: loopback, link-local (cloud
// metadata services are there), unspecified, multicast, reserved, an IPv6 form that hides an IPv4
// address, or one of the known metadata services elsewhere.
const char* RefusedKind(const SocketAddress& address);

// Whether one may connect there: in one of `opened`, or of no refused kind.
bool IsAllowedTarget(const SocketAddress& address, std::span<const AddressRange> opened);

}  // namespace signet::net
