// signet proxy …: commands over a proxy's admin socket (docs/observability.md).
#pragma once

#include <cstdint>
#include <string>

#include "tools/ctl/commands.h"

namespace CLI {
class App;
}

namespace signet::ctl {

// `session.server` of each is the proxy's admin socket.
struct ProxyOptions {
  // Filters; empty: all. "a*": what begins so.
  std::string direction, listener, peer;
  std::string method, path, status;  // of tap: "5xx" or "403"
  std::string interval = "2s";       // of top
  std::uint64_t count = 0;           // of top: rounds; of tap: records; 0: until interrupted
};
int ShowProxyStat(const Session& session, const ProxyOptions& options);
int ShowProxyTop(const Session& session, const ProxyOptions& options);
int TapProxy(const Session& session, const ProxyOptions& options);
int ShowProxyConfig(const Session& session);
int ListProxyConnections(const Session& session, const ProxyOptions& options);

// Adds `proxy` and its commands to `app`; one that runs leaves its exit code in `exit_code`. All
// outlive the parsing.
void AddProxyCommands(CLI::App* app, Session* session, int* exit_code);

}  // namespace signet::ctl
