// What an operator sets of HTTP, with its defaults.
//
// Threads: values.
#pragma once

#include "base/clock.h"
#include "proxy/http/message.h"

namespace signet::proxy {

struct HttpSettings {
  HttpLimits message;
  Duration header_timeout = std::chrono::seconds(10);  // for a head, from its first byte
  Duration keep_alive = std::chrono::seconds(60);      // for the next request
  Duration stream_idle = std::chrono::minutes(5);      // of a request in progress, without a byte
  // Shorter than what servers allow, so that a connection is rarely reused as its server closes it.
  Duration upstream_idle = std::chrono::seconds(4);
  std::size_t upstream_connections = 4096;  // of one worker
  std::uint32_t streams = 100;              // at once on one HTTP/2 connection
};

}  // namespace signet::proxy
