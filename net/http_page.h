// Fetching one small page over plain HTTP from a host that somebody else named: one name lookup,
// one check of all it answered, one connection to an address that was checked, no redirects,
// bounded in size and time.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"
#include "net/target.h"

namespace signet::net {

inline constexpr Reason kTargetRefused{"address not allowed as a target"};
inline constexpr Reason kPageUnusable{"no usable page"};

// Name to addresses. Address::Resolve() in programs.
using Resolver = std::function<Result<std::vector<SocketAddress>>(const Address&)>;

struct PageRequest {
  Address from;
  std::string path;                         // "/a/b", of letters that need no escaping
  std::size_t max_body = 256;               // more is refused
  std::chrono::milliseconds timeout{5000};  // for each: connecting; asking and reading
};

// GET; the body of a 200 answer. A name that leads to any address which is not allowed is refused
// as a whole: the one to be connected to must not be a matter of luck. Errors never hold anything
// that the other side sent. Fails with kTargetRefused (PERMISSION_DENIED), kPageUnusable,
// kAddressUnresolved or kConnectFailed.
Result<std::string> FetchPage(const PageRequest& request, std::span<const AddressRange> opened,
                              const Resolver& resolve);

// The body in a whole response (HTTP/1.0 or 1.1, without transfer coding), of at most `max_body`
// bytes. Fails with kPageUnusable unless the status is 200.
Result<std::string> ParsePage(std::string_view response, std::size_t max_body);

}  // namespace signet::net
