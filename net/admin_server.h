// GET /live, /ready and /metrics on a loopback address: a small HTTP/1.1 server for probes and scrapers, in a
// thread of its own. Bounded: 64 connections, 8 KiB a request, 5 s a request.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "net/address.h"

namespace signet::net {

struct Health {
  bool live = true;
  bool ready = false;
  std::vector<std::string> problems;  // why not, each a sentence
};

class AdminServer {
 public:
  // 200 or 503 with {"ok":…, "problems":[…]}. `health` is called on each probe, from the server's thread.
  static Result<std::unique_ptr<AdminServer>> Start(const Address& address, std::function<Health()> health,
                                                    const Metrics& metrics);
  ~AdminServer();
  std::uint16_t port() const;

 private:
  struct State;
  explicit AdminServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
