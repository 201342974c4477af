// What all HTTP connections of one worker share.
//
// Threads: one worker's.
#pragma once

#include "mesh/request_policy.h"
#include "proxy/http/turn.h"
#include "proxy/http/upstream_pool.h"

namespace signet::proxy {

struct HttpShared {
  // `host` outlives this. `first_refusal`: random.
  HttpShared(ConnectionHost& host, std::uint64_t first_refusal)
      : turns(host.parts().loop), upstreams(host, turns), refusals(first_refusal) {}

  Turns turns;
  UpstreamPool upstreams;
  mesh::RefusalIds refusals;
  std::vector<mesh::NameValue> headers;  // of the request being judged
};

}  // namespace signet::proxy
