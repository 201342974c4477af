// signet-proxy: mutual TLS and authorization beside a service. The command line, and nothing else.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/child_process.h"
#include "net/passed_sockets.h"
#include "proxy/run.h"

namespace {

constexpr int kExitOk = 0;
constexpr int kExitCannotRun = 1;
constexpr int kExitUsage = 2;
constexpr int kExitBadConfig = 3;
constexpr int kExitNoApplication = 127;

constexpr const char* kFooter = R"(
Example (proxy.yaml):
  workload_api: /run/signet/agent/api.sock
  inbound:                       # callers with an SVID -> the plain service beside
    - name: web
      listen: 0.0.0.0:8443
      forward: 127.0.0.1:8080
      protocol: http             # tcp (the default), http, grpc, tls-passthrough or detect
      upstream_protocol: http1   # to the backend: http1, http2, or same as the caller
      allow:                     # nobody else; an empty list refuses everyone
        - name: the shop reads
          id: spiffe://example.org/shop
          methods: [GET, HEAD]   # with http and grpc: methods and paths
          paths: [/catalogue/*]
      max_connection_age: 1h     # HTTP finishes first; without it, none
  outbound:                      # local plain callers -> a peer that must prove who it is
    - name: orders
      listen: 127.0.0.1:9000
      forward: orders.internal:8443
      expect:
        - ids: [spiffe://example.org/orders, spiffe://example.org/orders/*]
    # with http: routes and backends instead of one address; see docs/traffic.md
  limits:
    connections: 8000            # also: per_peer, handshakes, connect_timeout
    handshakes_per_address: 256  # in progress from one source address
    handshake_deadline: 10s
    idle: 1h
    drain: 30s                   # also for what is in progress at max_connection_age
    detect_timeout: 1s           # for the first bytes, with protocol: detect
    http:                        # also: target_bytes, trailer_bytes, upstream_connections
      header_bytes: 65536
      header_fields: 128
      streams: 100               # at once on one HTTP/2 connection
      header_timeout: 10s        # also: keep_alive, stream_idle, upstream_idle
  metrics: 127.0.0.1:9102        # GET /ready /live /metrics
  access_log: {path: /var/log/signet/access.json, sample: 1}    # JSON, a line a request
  tracing: {otlp: 127.0.0.1:4317, ratio: 0.01, service: shop}   # spans, by OTLP over gRPC
  admin: /run/signet/proxy/admin.sock   # JSON over HTTP: what goes on

  signet-proxy validate --config proxy.yaml
  signet-proxy run --config proxy.yaml
  signet-proxy exec --config proxy.yaml -- /usr/bin/shop --port 8080

Signals (run):
  SIGHUP           reload rules, listeners and limits (a changed file does the same); a bad file is
                   refused whole and the old configuration stays; the access log's file is opened
                   again
  SIGUSR2          upgrade: start the program again, from the file as it is now, with everything this
                   process listens on; once that serves, let connections here finish for
                   limits.drain. When it does not serve within 30s, this process goes on
  SIGTERM, SIGINT  stop accepting, let connections finish for limits.drain; a second one ends at once

Signals (exec):
  All of the above go to the application and mean what it makes of them. The proxy serves until the
  application has ended, then drains. Rules are reloaded when their files change.

Exit status:
  0  stopped in order, or the configuration is valid; of exec: the application's own, or 128 and the
     signal that ended it, 127 when there is no such program
  1  cannot run: an address is taken, or the system refused something
  2  wrong command line
  3  the configuration has problems; each is printed with file, line and a hint

Environment:
  SPIFFE_ENDPOINT_SOCKET  the agent's socket (unix:///path) when the file has no workload_api
)";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::shared_ptr<const signet::proxy::ProxyConfig> Load(const signet::proxy::RunOptions& options) {
  signet::ConfigProblems problems;
  auto config = signet::proxy::LoadConfig(options.config_path, options.endpoint_socket, &problems);
  if (!config) std::fputs(problems.Text().c_str(), stderr);
  return config;
}

int Validate(const signet::proxy::RunOptions& options) {
  const auto config = Load(options);
  if (!config) return kExitBadConfig;
  for (const std::string& warning : config->warnings) std::printf("warning: %s\n", warning.c_str());
  std::printf("%s: valid, %zu listeners\n", options.config_path.c_str(), config->listeners.size());
  return kExitOk;
}

int Run(const signet::proxy::RunOptions& options) {
  const auto config = Load(options);
  if (!config) return kExitBadConfig;
  const signet::Result<int> ran = signet::proxy::Run(options, config);
  if (ran) return *ran;
  std::fprintf(stderr, "signet-proxy: %s\n", ran.error().Message().c_str());
  return ran.error().reason == signet::kCannotStartChild ? kExitNoApplication : kExitCannotRun;
}

// A link to a file that was replaced since would say "(deleted)" when it is needed.
std::string OwnPath() {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).string();
}

}  // namespace

int main(int argc, char** argv) {
  signet::proxy::BlockSignals();
  CLI::App app("signet-proxy: mutual TLS and authorization beside a service", "signet-proxy");
  app.footer(kFooter);
  app.require_subcommand(1);
  signet::proxy::RunOptions options;
  options.manager = signet::ServiceManager::FromEnvironment();
  signet::net::TakePassedSockets();
  options.endpoint_socket = Environment("SPIFFE_ENDPOINT_SOCKET");

  options.image = {OwnPath(), {argv, argv + argc}};

  CLI::App* run = app.add_subcommand("run", "Run the proxy in the foreground");
  CLI::App* exec = app.add_subcommand(
      "exec",
      "Run the proxy, and beside it an application: started when it serves, stopped before");
  exec->add_option("application", options.application,
                   "The application and its arguments, after --")
      ->required();
  int ready_seconds = 60;
  exec->add_option("--ready-within", ready_seconds, "Seconds to wait for an identity (60)")
      ->check(CLI::Range(1, 86400));
  for (CLI::App* command : {run, exec})
    command->add_flag(
        "--inspectable", options.inspectable,
        "Let processes of the same user look into this one: an agent that is neither "
        "root nor has CAP_SYS_PTRACE needs it to see unix:path. They can read its key "
        "then, too");
  CLI::App* validate =
      app.add_subcommand("validate", "Check a configuration and say what is wrong");
  CLI::App* version = app.add_subcommand("version", "Print the version");
  for (CLI::App* command : {run, exec, validate})
    command->add_option("-c,--config", options.config_path, "The configuration file (YAML)")
        ->required();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  options.ready_within = std::chrono::seconds(ready_seconds);
  if (*run || *exec) return Run(options);
  if (*validate) return Validate(options);
  if (*version) std::printf("signet-proxy %s\n", SIGNET_VERSION);
  return kExitOk;
}
