// What the first bytes of a connection say of its protocol, for listeners that find it out
// themselves. HTTP is what a lenient server could take for it: a request line of any version,
// behind blank lines too. What is only nearly HTTP so comes before the strict parser and is refused
// there, and not passed on as bytes to a server that forgives it.
//
// Threads: pure functions.
#pragma once

#include "base/bytes.h"

namespace signet::proxy {

enum class FirstBytes {
  kUndecided,  // could still be anything
  kHttp,       // HTTP/1 or HTTP/2
  kTls,        // a TLS record of a handshake
  kOther,
};

// So many are looked at: a line of text that is longer is HTTP's.
inline constexpr std::size_t kMostFirstBytes = 8 * 1024;

// `bytes` begin where the connection does, and only grow from call to call.
FirstBytes ReadFirstBytes(ByteView bytes);

}  // namespace signet::proxy
