// Where a request goes: what an exchange asks for and how it hears of it. The pool behind
// it (upstream_pool.h) opens and reuses connections.
//
// Threads: one worker's.
#pragma once

#include <string>

#include "proxy/http/http1_client.h"
#include "proxy/http/request_outcome.h"

namespace signet::proxy {

struct UpstreamFailure {
  RequestEnd end = RequestEnd::kUpstreamUnreachable;
  std::string why;
};

// Who waits for a connection. Called once, unless it withdraws.
class UpstreamWaiter {
 public:
  virtual ~UpstreamWaiter() = default;
  // `reused`: it carried other requests before, so it may be closing at this moment.
  virtual void OnUpstream(ClientCodec& codec, bool reused) = 0;
  virtual void OnNoUpstream(const UpstreamFailure& failure) = 0;
};

// What a request needs of a connection.
struct UpstreamNeed {
  HttpVersion version = HttpVersion::kHttp11;  // kHttp2: preferred, where the peer speaks it
  bool only_http1 = false;                     // an upgrade, which HTTP/2 cannot carry
  bool fresh = false;                          // not a reused one
};

// Answers where requests of one downstream connection go. The choice of an endpoint is made here.
class UpstreamSource {
 public:
  virtual ~UpstreamSource() = default;
  // May call the waiter at once.
  virtual void Want(const RequestHead& request, const UpstreamNeed& need,
                    UpstreamWaiter& waiter) = 0;
  virtual void Withdraw(UpstreamWaiter& waiter) = 0;
};

}  // namespace signet::proxy
