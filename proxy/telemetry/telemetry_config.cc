#include "proxy/telemetry/telemetry_config.h"

#include <fmt/format.h>

#include <charconv>

#include "net/address.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kLongestService = 128;

double ReadShare(ConfigMap& map, std::string_view key, double fallback) {
  const auto text = map.String(key);
  if (!text) return fallback;
  double share = -1;
  const auto read = std::from_chars(text->data(), text->data() + text->size(), share);
  if (read.ec == std::errc() && read.ptr == text->data() + text->size() && share >= 0 && share <= 1)
    return share;
  map.Problem(key, fmt::format("'{}' is not a share", *text), "a number from 0 to 1, such as 0.1");
  return fallback;
}

void ReadAccessLog(ConfigMap& root, TelemetryConfig* config) {
  auto map = root.Map("access_log");
  if (!map) return;
  config->access_log = map->RequiredString("path", "a file, or '-' for standard output");
  if (!config->access_log.empty() && config->access_log != "-" && config->access_log[0] != '/')
    map->Problem("path", fmt::format("'{}' is not absolute", config->access_log),
                 "an absolute path, or '-' for standard output");
  config->access_log_sample = ReadShare(*map, "sample", config->access_log_sample);
  map->Finish();
}

void ReadTracing(ConfigMap& root, TelemetryConfig* config) {
  auto map = root.Map("tracing");
  if (!map) return;
  const std::string hint = "the collector's gRPC address, such as 127.0.0.1:4317";
  const std::string text = map->RequiredString("otlp", hint);
  if (!text.empty()) {
    const auto address = net::Address::Parse(text);
    if (!address)
      map->Problem("otlp", fmt::format("'otlp': {}", address.error().Message()), hint);
    else
      config->otlp = address->is_unix ? "unix:" + address->host : address->ToString();
  }
  config->trace_ratio = ReadShare(*map, "ratio", config->trace_ratio);
  config->service = map->String("service", config->service);
  if (config->service.empty() || config->service.size() > kLongestService)
    map->Problem("service", "'service' names this proxy's spans", "1 to 128 bytes");
  map->Finish();
}

}  // namespace

TelemetryConfig ReadTelemetry(ConfigMap& root) {
  TelemetryConfig config;
  ReadAccessLog(root, &config);
  ReadTracing(root, &config);
  config.admin = root.String("admin", "");
  if (!config.admin.empty() && !config.admin.starts_with('/'))
    root.Problem("admin", fmt::format("'{}' is not the path of a Unix socket", config.admin),
                 "an absolute path, such as /run/signet/proxy/admin.sock");
  return config;
}

}  // namespace signet::proxy
