// The life of the program: starts the proxy, its Workload API client and its admin server, then
// serves signals and file changes until it has drained; with an application beside it, or giving
// way to a newer process of itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/service_manager.h"
#include "proxy/config.h"
#include "proxy/program.h"

namespace signet::proxy {

// The signals that Run() reads: blocked in every thread that is made after this. Call first in
// main().
void BlockSignals();

struct RunOptions {
  std::string config_path;
  std::string endpoint_socket;  // SPIFFE_ENDPOINT_SOCKET, for reloads
  ServiceManager manager;
  ProgramImage image;
  bool inspectable = false;              // other processes of its user may look into this one
  std::vector<std::string> application;  // empty: none
  Duration ready_within = std::chrono::minutes(1);  // or the application is not started
};

// Returns after SIGTERM or SIGINT, when connections have ended or limits.drain is over (a second
// signal cuts it short), or when a successor took over and connections here have ended. With an
// application: after its end, with its exit code. Fails when it cannot start, or the application
// cannot (kCannotStartChild).
Result<int> Run(const RunOptions& options, std::shared_ptr<const ProxyConfig> config);

}  // namespace signet::proxy
