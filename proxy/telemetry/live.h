// What is going on now, as a worker sees it: its connections and the requests in progress on them.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "proxy/telemetry/outcome.h"

namespace signet::proxy {

struct LiveRequest {
  std::string method;
  std::string host;
  std::string path;  // without its query
  Duration age{};
  bool answering = false;  // its answer has begun
};

struct LiveConnection {
  Direction direction = Direction::kInbound;
  std::string listener;
  std::string phase;   // "handshaking", "connecting", "carrying"
  std::string caller;  // as in a record
  std::string callee;
  std::string remote;
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  Duration age{};
  std::vector<LiveRequest> requests;
};

}  // namespace signet::proxy
