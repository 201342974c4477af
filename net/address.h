// Where to listen or dial: "127.0.0.1:8081", "[::1]:8081", "host:8081" (resolved when used), or
// "unix:/run/x.sock". And listening sockets.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace signet::net {

inline constexpr Reason kAddressMalformed{"malformed address"};
inline constexpr Reason kAddressUnresolved{"host name does not resolve"};
inline constexpr Reason kListenFailed{"cannot listen"};
inline constexpr Reason kConnectFailed{"cannot connect"};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  std::string ToString() const;
  int family() const { return storage.ss_family; }
};

struct Address {
  std::string host;  // or the path of a Unix socket
  std::uint16_t port = 0;
  bool is_unix = false;

  static Result<Address> Parse(std::string_view text);
  std::string ToString() const;
  // Blocking; numeric hosts cost nothing. In the resolver's order.
  Result<std::vector<SocketAddress>> Resolve() const;
};

// Both listen on a socket that the service manager passed, when one has the address
// (passed_sockets.h); else they open one.
//
// Non-blocking, close-on-exec, TCP_NODELAY (inherited by accepted ones), SO_REUSEADDR, optionally
// SO_REUSEPORT.
Result<UniqueFd> ListenTcp(const Address& address, bool reuse_port = false);

struct UnixListenOptions {
  mode_t mode = 0777;
  int owner = -1;  // uid, -1: leave
  int group = -1;
};
// A stale socket file is replaced; one that somebody answers on is refused, as is any other kind of
// file, and a path of more than 107 bytes (says the limit).
Result<UniqueFd> ListenUnix(const std::string& path, const UnixListenOptions& options);
// The end of a ListenUnix(): takes its file away, unless the service manager owns it.
void RemoveSocketFile(const std::string& path);

// The port actually bound, for listeners on port 0.
Result<SocketAddress> LocalAddress(int fd);

// Blocking connect with a deadline for all resolved addresses together, tried in order (resolving a
// host name is not under the deadline). Answers a non-blocking, close-on-exec socket with
// TCP_NODELAY. Fails with kConnectFailed (DEADLINE_EXCEEDED or UNAVAILABLE), kAddressUnresolved or
// kAddressMalformed.
Result<UniqueFd> Connect(const Address& address, std::chrono::milliseconds timeout);

}  // namespace signet::net
