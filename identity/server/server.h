// signet-server put together: store, registry, authorities, issuer, the API behind its TLS front
// and admin socket, and the housekeeping that keeps them going. main.cc starts one and waits for a
// signal.
//
// Threads: Start() and Stop() from one thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "identity/server/config.h"
#include "net/admin_server.h"

namespace signet::identity {

class Server {
 public:
  // Serves when it returns. Fails with kAlreadyRunning when another process uses the data
  // directory, and as the store, the key store and the listeners do; nothing is overwritten then.
  static Result<std::unique_ptr<Server>> Start(const ServerConfig& config, const Clock& clock,
                                               Random& random, const Logger& log);
  // Stops first, without grace, unless stopped.
  ~Server();
  // Accepts no more and lets running calls end within `grace`; the store is closed by the
  // destructor.
  void Stop(std::chrono::milliseconds grace);

  // With the port really bound: "127.0.0.1:8081".
  const std::string& listen_address() const;
  const std::string& metrics_address() const;  // empty: off
  net::Health health() const;

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::identity
