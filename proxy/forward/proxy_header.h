// The PROXY protocol, version 2, as written to a TCP application that asks for it: where the
// connection comes from, and whose it is. Written only; nobody's is read.
//
// After the addresses stand these TLVs:
//   0x20 PP2_TYPE_SSL: client = SSL | CERT_CONN | CERT_SESS, verify = 0 (it was verified)
//   0xE0 the caller's SPIFFE ID (custom range, 2.2.7)
//
// Threads: a pure function.
#pragma once

#include "base/bytes.h"
#include "net/address.h"

namespace signet::proxy {

inline constexpr std::uint8_t kProxyTypeSpiffeId = 0xE0;

// `source` and `destination` of one family, else (a Unix socket) both are left out (AF_UNSPEC).
// `spiffe_id`: at most identity::kMaxSpiffeIdBytes.
Bytes MakeProxyHeader(const net::SocketAddress& source, const net::SocketAddress& destination,
                      std::string_view spiffe_id);

}  // namespace signet::proxy
