// What a listener speaks, and how that is configured.
//
// Threads: values.
#pragma once

#include "base/config.h"
#include "proxy/http/http_settings.h"

namespace signet::proxy {

enum class Protocol {
  kTcp,             // bytes, whatever they are
  kHttp,            // HTTP/1.1 and HTTP/2; what is neither is refused
  kGrpc,            // HTTP/2 to the backend, and only gRPC requests
  kTlsPassthrough,  // foreign TLS, by its server name; nothing is terminated
  kDetect,          // HTTP where the first bytes are HTTP's, else bytes
};
std::string_view ProtocolName(Protocol protocol);

// What requests are sent on with. By TLS, HTTP/2 is a wish that the peer may not share.
enum class UpstreamProtocol {
  kSame,  // as the caller
  kHttp1,
  kHttp2,
};

constexpr bool IsHttp(Protocol protocol) {
  return protocol == Protocol::kHttp || protocol == Protocol::kGrpc;
}

// Some of what it carries may be HTTP.
constexpr bool MayBeHttp(Protocol protocol) {
  return IsHttp(protocol) || protocol == Protocol::kDetect;
}

struct ProtocolConfig {
  Protocol protocol = Protocol::kTcp;
  UpstreamProtocol upstream = UpstreamProtocol::kSame;
  bool connect = false;
};

// Reads `protocol`, `upstream_protocol` and `connect` of a listener. `to_backend`: it is an inbound
// one, whose upstream is plain, so that nobody can be asked what it speaks: HTTP/1.1 unless said
// otherwise.
ProtocolConfig ReadProtocol(ConfigMap& listener, bool to_backend);

// Reads `http` of the limits.
HttpSettings ReadHttpSettings(ConfigMap& limits);

}  // namespace signet::proxy
