// Requests that come back. Every listener of a proxy that sends a request on adds a field line
// `signet-hops` with a name of its own; who finds its own name there has sent this very request on
// before. An application that hands all fields on may rightly call back through the same proxy, so
// a few passes are let through: a ring ends after these.
//
// The field says nothing of anybody: names are random for each process. Whoever writes it himself
// gets his own request refused, and whoever removes it stands in the ring and could end it.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "proxy/http/message.h"
#include "proxy/telemetry/outcome.h"

namespace signet::proxy {

inline constexpr std::string_view kHopsField = "signet-hops";
inline constexpr int kMostPasses = 3;  // of one request through one listener
inline constexpr int kMostHops = 32;   // through listeners of any process

enum class HopFault {
  kNone,
  kRing,     // it has passed this listener kMostPasses times
  kTooMany,  // it has passed kMostHops listeners
};
// For people.
std::string_view Describe(HopFault fault);

// Eight letters and digits. `process`: random, one for all workers of a process.
std::string MakeHopName(std::uint64_t process, Direction direction, std::string_view listener);

// Judges a request as it came. `own`: of the listener it came to.
HopFault CheckHops(const Fields& fields, std::string_view own);
void AddHop(std::string_view own, Fields* fields);

}  // namespace signet::proxy
