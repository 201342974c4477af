// GET /live, /ready and /metrics on a loopback address: a small HTTP/1.1 server for probes and
// scrapers, in a thread of its own. Bounded: 64 connections (more wait), 8 KiB a request, 5 s a
// connection.
//
// One request a connection, GET or HEAD. The Host header must name this machine (localhost, a
// loopback address, the configured host; any numeric address when listening on all), so that a web
// page whose name was pointed here by its own DNS gets nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "net/address.h"

namespace signet::net {

struct Health {
  bool live = true;
  bool ready = false;
  std::vector<std::string> problems;  // why not, each a sentence
};

// All metrics, in the text format of Prometheus or of OpenMetrics 1.0. Called on each scrape, from
// the server's thread.
using MetricsText = std::function<std::string(bool open_metrics)>;

class AdminServer {
 public:
  // 200 or 503 with {"ok":…, "problems":[…]}. `health` is called on each probe, from the server's
  // thread.
  static Result<std::unique_ptr<AdminServer>> Start(const Address& address,
                                                    std::function<Health()> health,
                                                    const Metrics& metrics, const Clock& clock);
  // The same with the system's clock, which bounds how long a request may take and nothing else.
  static Result<std::unique_ptr<AdminServer>> Start(const Address& address,
                                                    std::function<Health()> health,
                                                    const Metrics& metrics);
  // The same with metrics of more than one source. Who asks for OpenMetrics gets it.
  static Result<std::unique_ptr<AdminServer>> Start(const Address& address,
                                                    std::function<Health()> health,
                                                    MetricsText metrics);
  ~AdminServer();
  std::uint16_t port() const;

 private:
  struct State;
  explicit AdminServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
