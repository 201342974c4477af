// The life of the program: starts the proxy, its Workload API client and its admin server, then
// serves signals and file changes until it has drained.
#pragma once

#include <memory>
#include <string>

#include "base/service_manager.h"
#include "proxy/config.h"

namespace signet::proxy {

// SIGTERM, SIGINT, SIGHUP: blocked in every thread that is made after this, and read by Run().
// Call first in main().
void BlockSignals();

struct RunOptions {
  std::string config_path;
  std::string endpoint_socket;  // SPIFFE_ENDPOINT_SOCKET, for reloads
  ServiceManager manager;
};

// Returns after SIGTERM or SIGINT, when connections have ended or limits.drain is over (a second
// signal cuts it short). Fails when it cannot start.
Status Run(const RunOptions& options, std::shared_ptr<const ProxyConfig> config);

}  // namespace signet::proxy
