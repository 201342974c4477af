// The name a TLS client asks for (SNI), read off the first bytes of its connection without touching
// them: for listeners that pass foreign TLS on. Reads only what RFC 8446, 4.1.2 and RFC 6066, 3 say
// a ClientHello is, over any number of records, and nothing that follows it.
//
// Threads: pure functions.
#pragma once

#include <string>

#include "base/bytes.h"

namespace signet::proxy {

// Of a ClientHello with its record headers. Post-quantum key shares make it 1.7 kB; nothing honest
// is near this.
inline constexpr std::size_t kMaxClientHello = 16 * 1024;

enum class HelloStatus {
  kMore,       // not whole yet
  kName,       // `name` is set
  kNoName,     // a ClientHello without server_name
  kMalformed,  // no ClientHello, or one that breaks its own lengths, or too long
};

// `bytes` begin where the connection does, and only grow from call to call. `name`: in lower case
// without a trailing dot, letters, digits, '-', '_' and '.', at most 255 characters.
HelloStatus ReadClientHello(ByteView bytes, std::string* name);

}  // namespace signet::proxy
