// Where routes lead: a backend is a list of endpoints, each with an address, a weight and, where it
// is called by mutual TLS, the identities it may have; and how requests are spread over them, in
// the words of Envoy's clusters. Values only; balancing is the proxy's.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
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

enum class LbPolicy : std::uint8_t {
  kLeastRequest,  // of two drawn at random, the one with less to wait for (peak EWMA)
  kRoundRobin,    // smooth and weighted
  kRingHash,      // by a key of the request
};

// Of kRingHash. A request without the header is spread at random.
struct HashPolicy {
  std::string header;  // in lower case; empty: the caller's identity
};

// An endpoint that fails `consecutive_5xx` times in a row is left out for base_ejection_time, twice
// that the second time, three times that the third, up to max_ejection_time.
struct OutlierDetection {
  int consecutive_5xx = 5;  // 0: never
  Duration base_ejection_time = std::chrono::seconds(30);
  Duration max_ejection_time = std::chrono::seconds(300);
};

// Of the whole backend in this proxy. 0: no limit.
struct CircuitBreakers {
  std::size_t max_requests = 0;          // in progress
  std::size_t max_pending_requests = 0;  // of these, waiting for a connection
};

// Retries are at most `percent` of the requests of the last ten seconds and min_per_second each
// second.
struct RetryBudget {
  int percent = 20;
  int min_per_second = 3;
};

// Each endpoint is asked every `interval` whether it is well.
struct HealthCheck {
  enum class Type : std::uint8_t {
    kTcp,   // a connection
    kHttp,  // GET path: 2xx
    kGrpc,  // grpc.health.v1.Health/Check of `service`: SERVING
  };
  Type type = Type::kTcp;
  std::string path = "/";
  std::string host;     // sent as the authority; empty: the endpoint's address
  std::string service;  // at most 127 bytes
  Duration interval = std::chrono::seconds(10);
  Duration timeout = std::chrono::seconds(2);
  int unhealthy_threshold = 3;  // so many in a row
  int healthy_threshold = 2;
};

struct Backend {
  std::string name;
  std::vector<Endpoint> endpoints;  // addresses differ
  LbPolicy lb_policy = LbPolicy::kLeastRequest;
  HashPolicy hash;
  OutlierDetection outlier;
  CircuitBreakers circuit;
  std::optional<HealthCheck> health_check;
  RetryBudget retry;
  // When fewer than this percentage of the endpoints are well, all are asked: what few are left
  // would only fall next.
  int panic_threshold = 50;
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
