// signet-agent: one per node. Attests the node to signet-server, attests the workloads on it, and
// keeps their X.509-SVIDs fresh behind the SPIFFE Workload API.
#include <malloc.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <absl/synchronization/mutex.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "agent/agent.h"
#include "base/memory_keeper.h"
#include "base/service_manager.h"
#include "ca/crypto/key_memory.h"
#include "net/admin_server.h"
#include "net/passed_sockets.h"
#include "net/tls_front.h"

namespace signet::agent {
namespace {

constexpr const char* kExamples = R"(
Examples:
  signet-agent run --config /etc/signet/agent.yaml
  signet-agent run --config agent.yaml --join-token 3f0c7a1e-2c57-4d60-8a43-0e3d2c3f9b11
  signet-agent validate --config agent.yaml

Exit codes:
  0  stopped by a signal          3  node attestation refused: join token wrong, used up, expired or missing
  1  failed                       4  banned or evicted: everything held was erased
  2  usage or configuration       5  data_dir or socket not usable, or used by another process
)";

struct CommandLine {
  std::string config;
  ConfigOverrides overrides;
};

// No core dumps, no ptrace by the same user: keys live here. And as many descriptors as allowed.
void Harden() {
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

// The join token must not stay readable in /proc/PID/cmdline.
void WipeArgument(int argc, char** argv, const std::string& secret) {
  if (secret.empty()) return;
  for (int i = 1; i < argc; ++i)
    if (char* found = std::strstr(argv[i], secret.c_str())) std::memset(found, 'x', secret.size());
}

std::optional<AgentConfig> Load(const CommandLine& line) {
  ConfigProblems problems;
  AgentConfig config = LoadConfig(line.config, line.overrides, &problems);
  if (problems.empty()) return config;
  std::fprintf(stderr, "%s\n", problems.Text().c_str());
  return std::nullopt;
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, signal);
  return signals;
}

int Fatal(const Logger& log, const Error& error) {
  log.Error("cannot start", {{"error", error.Message()}});
  return static_cast<int>(error.reason == kAlreadyRunning ? ExitCode::kInUse : ExitCode::kFailed);
}

ServiceManager::Pulse PulseOf(const net::Health& health) {
  if (health.problems.empty()) return {health.live, "serving"};
  return {health.live, health.problems.front()};
}

int Run(const AgentConfig& config) {
  const auto manager = ServiceManager::FromEnvironment();
  net::TakePassedSockets();
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file size is a full disk: said, not deadly

  const SystemClock clock;
  OsRandom random;
  const Logger log("signet-agent", config.log_level, config.log_format);
  Metrics metrics;
  auto tls = net::TlsDialer::Start(clock);
  if (!tls) return Fatal(log, tls.error());
  TlsServerDialer dialer(**tls, config.server);
  auto agent = Agent::Create(config, AgentWorld{dialer, clock, random, log, metrics});
  if (!agent) return Fatal(log, agent.error());
  std::unique_ptr<net::AdminServer> admin;
  if (config.metrics) {
    auto started =
        net::AdminServer::Start(*config.metrics, [&] { return (*agent)->health(); }, metrics);
    if (!started) return Fatal(log, started.error());
    admin = std::move(*started);
    log.Info("health and metrics", {{"port", admin->port()}});
  }

  std::thread stopper([&] {
    manager.AwaitSignal(signals, [&] { return PulseOf((*agent)->health()); });
    manager.Stopping();
    (*agent)->Stop();
  });
  const MemoryKeeper memory;
  const ExitCode code = (*agent)->Run([&] { manager.Ready("serving at " + config.socket); });
  pthread_kill(stopper.native_handle(), SIGUSR1);
  stopper.join();
  admin.reset();
  log.Info("agent ends", {{"exit_code", static_cast<int>(code)}});
  return static_cast<int>(code);
}

int Main(int argc, char** argv) {
  Harden();
  CLI::App app("signet-agent: keeps the SPIFFE identities of the workloads on this node");
  app.footer(kExamples);
  app.require_subcommand(1);
  CommandLine line;
  CLI::App* run = app.add_subcommand("run", "Run the agent");
  CLI::App* validate =
      app.add_subcommand("validate", "Check the configuration and say every problem");
  CLI::App* version = app.add_subcommand("version", "Print the version");
  for (CLI::App* command : {run, validate})
    command->add_option("-c,--config", line.config, "Configuration file (YAML)")->required();
  run->add_option("--join-token", line.overrides.join_token,
                  "Join token for the first start (better: join_token_file)");
  run->add_option("--socket", line.overrides.socket,
                  "Path of the public socket, instead of the configured one");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  WipeArgument(argc, argv, line.overrides.join_token);
  if (const char* folder = std::getenv("CREDENTIALS_DIRECTORY"))
    line.overrides.credentials_dir = folder;
  if (version->parsed()) {
    std::printf("signet-agent %s\n", SIGNET_VERSION);
    return 0;
  }
  const auto config = Load(line);
  if (!config) return static_cast<int>(ExitCode::kUsage);
  if (run->parsed()) return Run(*config);
  std::printf("%s: good\n", line.config.c_str());
  return 0;
}

}  // namespace
}  // namespace signet::agent

int main(int argc, char** argv) {
  // gRPC's own locks are not looked over at run time for cycles.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Two cores' worth: many arenas hold many free pages, and the agent's threads mostly wait.
  mallopt(M_ARENA_MAX, 2);
  signet::ca::ProtectKeyMemory(std::size_t{16} << 20);
  return signet::agent::Main(argc, argv);
}
