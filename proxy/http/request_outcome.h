// What became of one request: a closed set of reasons and the figures of its end, which whoever
// counts, logs or balances hears of.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "proxy/http/message.h"

namespace signet::proxy {

enum class RequestEnd {
  kAnswered,             // the backend's answer was passed on whole
  kTunnelled,            // it became a tunnel, which has ended
  kMalformed,            // 4xx: HttpFault says why
  kNotAllowed,           // 403: no rule allows it
  kAmbiguous,            // 400: path or host has no one meaning and a rule asks for it
  kCut,                  // it was in progress when rules, bundles or the identity changed
  kUpstreamUnreachable,  // 503: no connection, or none whose peer is trusted
  kUpstreamOverload,     // 503: limits.upstream_connections
  kUpstreamTimeout,      // 504
  kUpstreamBroken,       // 502, or cut when the answer had begun
  kClientGone,           // the caller gave it up
  kRequestTimeout,       // 408: the body stood still
  kNoRoute,              // 404: routes are configured and none takes it; 500: none of weight
  kRedirected,           // 3xx, by a route
  kFaultInjected,        // by a route
  kRateLimited,          // 429
  kForwardLoop,          // 508: it was sent on here before and came back
};
inline constexpr std::size_t kRequestEndCount = 17;
std::string_view RequestEndName(RequestEnd end);

struct RequestOutcome {
  RequestEnd end = RequestEnd::kAnswered;
  int status = 0;                   // sent to the caller; 0: none
  int grpc_status = -1;             // of a gRPC answer; -1: none seen
  std::uint64_t request_bytes = 0;  // of bodies
  std::uint64_t response_bytes = 0;
  Duration duration{};
  Duration upstream_wait{};  // until the upstream connection stood; zero: none did
  Duration first_byte{};     // until the answer's head came; zero: none did
  std::string_view callee;   // who the upstream proved to be; empty: a plain one
  std::string_view route;    // that took it; empty: none is configured
  std::string_view rule;     // that allowed it
  std::string_view id;       // of a refusal; empty otherwise
  std::string_view detail;   // for people
};

}  // namespace signet::proxy
