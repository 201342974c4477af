// The two lines a connection can leave: one when it ends, or one when it is refused.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "net/address.h"
#include "proxy/telemetry/outcome.h"

namespace signet::proxy {

struct ConnectionFacts {
  Direction direction = Direction::kInbound;
  std::string_view listener;
  const net::SocketAddress* remote = nullptr;  // the side that connected to the listener
  std::string peer;                            // verified SPIFFE ID, or empty
  std::string own;                             // the SPIFFE ID shown to the peer, or empty
  std::uint64_t received_bytes = 0;            // from the side that connected
  std::uint64_t sent_bytes = 0;                // to it
  Duration duration{};
};

// At info. `detail` says more than the reason does, or is empty.
void LogEnded(const Logger& log, const ConnectionFacts& facts, Ending ending,
              std::string_view detail);
// At warn. `why` says it to a person; `rules` is where the listener's rules are ("file:line").
void LogRefused(const Logger& log, const ConnectionFacts& facts, Refusal refusal,
                std::string_view why, std::string_view rules);

}  // namespace signet::proxy
