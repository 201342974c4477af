// A small HTTPS server for documents that anybody may read, in a thread of its own: GET and HEAD,
// one request a connection, entity tags, TLS 1.2 or later, no client certificates. Bounded: so many
// connections in all and from one address, 8 KiB a request, ten seconds from accept to the last
// byte (whoever is slower is cut off), so that slow clients cost a place and nothing else.
//
// Threads: Start() and the destructor from one thread. `documents` and `contexts` are called on the
// server's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "net/address.h"
#include "net/tls.h"

namespace signet::net {

struct HttpDocument {
  std::string type = "application/json";
  std::shared_ptr<const std::string> body;  // never null
  std::string etag;                         // with its quotes
  std::chrono::seconds max_age{0};          // how long whoever reads it may keep it; 0: not at all
};

struct HttpsServerLimits {
  std::size_t connections = 512;
  std::size_t connections_per_address = 64;
  Duration connection_time = std::chrono::seconds(10);
};

class HttpsServer {
 public:
  // The document at a path (without the query); absent: there is none. Must be quick.
  using Documents = std::function<std::optional<HttpDocument>(const std::string& path)>;
  // What the next handshake shows; null refuses it. Must be quick.
  using Contexts = std::function<std::shared_ptr<const TlsContext>()>;

  static Result<std::unique_ptr<HttpsServer>> Start(const Address& address, Contexts contexts,
                                                    Documents documents,
                                                    const HttpsServerLimits& limits,
                                                    const Clock& clock, Metrics& metrics);
  ~HttpsServer();
  // As really bound: "0.0.0.0:8443".
  const std::string& address() const;

 private:
  struct State;
  explicit HttpsServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
