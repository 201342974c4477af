// The proxy's configuration: YAML text -> one immutable value, or every problem with file, line and
// hint. Nothing is allowed unless a rule says so.
//
// Threads: values; a ProxyConfig is shared as const.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/log.h"
#include "mesh/request_policy.h"
#include "mesh/routes/traffic.h"
#include "net/address.h"
#include "proxy/passthrough/server_names.h"
#include "proxy/protocol.h"
#include "proxy/telemetry/outcome.h"
#include "proxy/telemetry/telemetry_config.h"

namespace signet::proxy {

inline constexpr std::string_view kDefaultWorkloadApi = "/run/signet/agent/api.sock";

struct ListenerConfig {
  Direction direction = Direction::kInbound;
  std::string name;  // unique within its direction; a metric label
  net::Address listen;
  std::string listen_text;
  Protocol protocol = Protocol::kTcp;
  UpstreamProtocol upstream_protocol = UpstreamProtocol::kSame;
  net::Address
      forward;  // the plain backend (inbound) or the TLS peer (outbound); empty: routes only
  std::vector<ServerNameRule> server_names;  // of TLS that is passed on; else empty
  mesh::Traffic traffic;                     // routes and backends; of HTTP
  mesh::RequestPolicy policy;   // who may call (allow, deny), or who must answer (expect)
  bool connect = false;         // CONNECT may be passed on, where a rule allows it
  bool proxy_protocol = false;  // inbound TCP: the backend is sent a PROXY protocol header first
  std::string policy_place;     // "proxy.yaml:12": where the rules are, or would be

  // How long a connection with mutual TLS (passed on TLS: any) is carried; zero: without limit.
  Duration max_connection_age{0};

  bool has_forward() const { return !forward.host.empty(); }
};

struct LimitsConfig {
  std::size_t connections = 8000;            // carried at once, over all listeners
  std::size_t per_peer = 4000;               // of these, inbound ones of one caller identity
  std::size_t handshakes = 512;              // in progress at once, on top of `connections`
  std::size_t handshakes_per_address = 256;  // of these, inbound ones from one source address
  Duration handshake_deadline = std::chrono::seconds(10);
  Duration idle = std::chrono::hours(1);
  Duration connect_timeout = std::chrono::seconds(5);
  Duration drain = std::chrono::seconds(30);
  // For the first bytes, where the protocol is found out; then the server is the one who speaks
  // first.
  Duration detect_timeout = std::chrono::seconds(1);
  HttpSettings http;
  Duration expiry_grace{0};  // what is carried may go on this long after the peer's SVID ended
};

struct ProxyConfig {
  std::string workload_api;  // the path of the agent's Unix socket
  std::vector<ListenerConfig> listeners;
  LimitsConfig limits;
  std::size_t threads = 0;  // 0: as many as cores
  std::optional<net::Address> metrics;
  TelemetryConfig telemetry;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  std::vector<std::string> files;     // what was read: the configuration and the rules file, if any
  std::vector<std::string> warnings;  // valid, but probably not meant
};

// Reads `path` and the rules file it names. `endpoint_socket` is the value of
// SPIFFE_ENDPOINT_SOCKET, used when the file does not set workload_api; empty when unset. Null when
// there is any problem.
std::shared_ptr<const ProxyConfig> LoadConfig(const std::string& path,
                                              const std::string& endpoint_socket,
                                              ConfigProblems* problems);

}  // namespace signet::proxy
