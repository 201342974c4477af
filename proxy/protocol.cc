#include "proxy/protocol.h"

#include <fmt/format.h>

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

}  // namespace

std::string_view ProtocolName(Protocol protocol) {
  static constexpr std::string_view kNames[] = {"tcp", "http", "grpc", "tls-passthrough", "detect"};
  return kNames[static_cast<std::size_t>(protocol)];
}

ProtocolConfig ReadProtocol(ConfigMap& listener, bool to_backend) {
  ProtocolConfig config;
  const std::string protocol = listener.String("protocol", "tcp");
  if (protocol == "http")
    config.protocol = Protocol::kHttp;
  else if (protocol == "grpc")
    config.protocol = Protocol::kGrpc;
  else if (protocol == "tls-passthrough")
    config.protocol = Protocol::kTlsPassthrough;
  else if (protocol == "detect")
    config.protocol = Protocol::kDetect;
  else if (protocol != "tcp")
    listener.Problem("protocol", fmt::format("'{}' is not a protocol", protocol),
                     "tcp, http, grpc, tls-passthrough or detect");
  if (config.protocol == Protocol::kGrpc)
    config.upstream = UpstreamProtocol::kHttp2;
  else if (to_backend)
    config.upstream = UpstreamProtocol::kHttp1;
  config.connect = listener.Bool("connect", false);
  if (config.connect && (!MayBeHttp(config.protocol) || config.protocol == Protocol::kGrpc))
    listener.Problem("connect", "CONNECT is a request of HTTP", "set protocol: http");
  const auto upstream = listener.String("upstream_protocol");
  if (!upstream) return config;
  if (!MayBeHttp(config.protocol))
    listener.Problem("upstream_protocol", "it says nothing for TCP", "set protocol: http or grpc");
  if (*upstream == "same")
    config.upstream = UpstreamProtocol::kSame;
  else if (*upstream == "http1")
    config.upstream = UpstreamProtocol::kHttp1;
  else if (*upstream == "http2")
    config.upstream = UpstreamProtocol::kHttp2;
  else
    listener.Problem("upstream_protocol", fmt::format("'{}' is not a protocol", *upstream),
                     "same, http1 or http2");
  return config;
}

HttpSettings ReadHttpSettings(ConfigMap& limits) {
  HttpSettings settings;
  auto map = limits.Map("http");
  if (!map) return settings;
  const auto count = [&](std::string_view key, std::size_t* value, std::int64_t least,
                         std::int64_t most) {
    *value =
        static_cast<std::size_t>(map->Int(key, static_cast<std::int64_t>(*value), least, most));
  };
  count("header_bytes", &settings.message.head_bytes, 1024, 1 << 20);
  count("target_bytes", &settings.message.target_bytes, 128, 1 << 20);
  count("header_fields", &settings.message.fields, 8, 4096);
  count("trailer_bytes", &settings.message.trailer_bytes, 256, 1 << 20);
  count("upstream_connections", &settings.upstream_connections, 1, 1'000'000);
  settings.streams = static_cast<std::uint32_t>(map->Int("streams", settings.streams, 1, 10'000));
  settings.header_timeout = map->Duration("header_timeout", settings.header_timeout, 100ms, 10min);
  settings.keep_alive = map->Duration("keep_alive", settings.keep_alive, 100ms, 24h);
  settings.stream_idle = map->Duration("stream_idle", settings.stream_idle, 100ms, 24h * 30);
  settings.upstream_idle = map->Duration("upstream_idle", settings.upstream_idle, 100ms, 1h);
  map->Finish();
  return settings;
}

}  // namespace signet::proxy
