// Where routes lead: a backend is a list of endpoints, each with an address, a weight and, where it
// is called by mutual TLS, the identities it may have. Values only; balancing over them is the
// proxy's.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mesh/request_policy.h"

namespace signet::mesh {

inline constexpr std::size_t kMaxBackends = 256;    // of one listener
inline constexpr std::size_t kMaxEndpoints = 1024;  // of one backend

struct Endpoint {
  std::string address;  // as written; what it means is not looked at here
  std::uint32_t weight = 1;
  RequestPolicy expect;  // whom a connection to it must reach; empty where it is plain
  std::string file;
  int line = 0;
};

struct Backend {
  std::string name;
  std::vector<Endpoint> endpoints;  // addresses differ
};

struct BackendScope {
  std::string_view listener;  // "outbound/web": the ids of rules are of it
  std::string_view path;      // "outbound[0]": how messages name the place
  bool tls = false;           // endpoints prove an identity: `expect` is needed, else it is refused
};

// Reads `backends` of a listener; each fault is a problem, and then they are not to be used. An
// endpoint without an `expect` of its own has its backend's.
std::vector<Backend> ReadBackends(ConfigMap& listener, const BackendScope& scope,
                                  ConfigProblems* problems);

}  // namespace signet::mesh
