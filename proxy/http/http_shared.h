// What all HTTP connections of one worker share.
//
// Threads: one worker's.
#pragma once

#include "mesh/request_policy.h"
#include "proxy/http/turn.h"
#include "proxy/http/upstream_pool.h"
#include "proxy/route/dice.h"
#include "proxy/route/mirror.h"
#include "proxy/upstream/health_check.h"

namespace signet::proxy {

struct HttpShared {
  // `host` outlives this. `first_refusal`: random.
  HttpShared(ConnectionHost& host, std::uint64_t first_refusal)
      : turns(host.parts().loop),
        mirrors(host.parts().loop, turns),
        upstreams(host, turns),
        refusals(first_refusal),
        dice(first_refusal),
        checks(host, turns, upstreams, dice) {}

  Turns turns;
  Mirrors mirrors;  // outlives the connections it waits for
  UpstreamPool upstreams;
  mesh::RefusalIds refusals;
  Dice dice;
  HealthChecks checks;
  std::vector<mesh::NameValue> headers;  // of the request being judged
};

}  // namespace signet::proxy
