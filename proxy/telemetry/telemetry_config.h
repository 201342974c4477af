// What is told of the traffic, and to whom: access_log, tracing and admin of the configuration.
//
// Threads: values.
#pragma once

#include <string>

#include "base/config.h"

namespace signet::proxy {

struct TelemetryConfig {
  // access_log
  std::string access_log;        // a file, or "-" for standard output; empty: none is written
  double access_log_sample = 1;  // of what ended well, 0 to 1; the rest is always written
  // tracing
  std::string otlp;           // "127.0.0.1:4317" or "unix:/run/x.sock"; empty: no spans are made
  double trace_ratio = 0.01;  // of traces that begin here, 0 to 1
  std::string service = "signet-proxy";  // resource attribute service.name

  std::string admin;  // the admin socket's path; empty: none

  bool makes_spans() const { return !otlp.empty(); }
  friend bool operator==(const TelemetryConfig&, const TelemetryConfig&) = default;
};

//   access_log: {path: /var/log/signet/access.json, sample: 0.1}
//   tracing: {otlp: 127.0.0.1:4317, ratio: 0.01, service: shop}
//   admin: /run/signet/proxy/admin.sock
TelemetryConfig ReadTelemetry(ConfigMap& root);

}  // namespace signet::proxy
