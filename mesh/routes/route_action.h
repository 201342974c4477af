// What a route makes of one request, computed: where a redirect points, what a rewritten target is,
// which backend a number falls on.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mesh/routes/route.h"

namespace signet::mesh {

// The request target (with its query, which stays) after `edit`. `target`: one that `match` took.
// kReplacePrefixMatch replaces the segments that the match fixed, byte for byte as they were sent.
std::string EditTarget(const PathEdit& edit, const RouteMatch& match, std::string_view target);

// The Location of `redirect` for a request to `authority` ("a.example.org:8080"; may be empty) that
// came by `scheme`. Without any authority it is a path alone.
std::string RedirectLocation(const Redirect& redirect, const RouteMatch& match,
                             std::string_view scheme, std::string_view authority,
                             std::string_view target);

// `random`: uniform over all numbers. Null when all weights are 0.
const BackendRef* PickBackend(const RouteRule& rule, std::uint64_t random);

// Whether a request is among `share`. `random`: as above.
constexpr bool Falls(Share share, std::uint64_t random) { return random % kAllShare < share; }

}  // namespace signet::mesh
