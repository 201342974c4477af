// signet-server: the issuer of a trust domain. A parts list; the parts are in server.cc.

#include <sys/prctl.h>
#include <sys/resource.h>

#include <absl/synchronization/mutex.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "identity/server/server.h"

namespace {

using signet::ConfigProblems;
using signet::identity::ConfigWarnings;
using signet::identity::LoadServerConfig;
using signet::identity::Server;

constexpr int kExitOk = 0;
constexpr int kExitConfig = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInUse = 3;
constexpr int kExitStart = 4;
constexpr auto kGrace = std::chrono::seconds(5);

constexpr const char* kFooter = R"(
Examples:
  signet-server validate --config /etc/signet/server.yaml
  signet-server run --config /etc/signet/server.yaml
  signet-server run --config server.yaml --log-level debug

Exit codes: 0 ended as asked, 1 configuration refused, 2 usage, 3 the data
directory is in use by another server, 4 could not start.)";

// Keys in memory stay out of core dumps and of other processes' sight; sockets may be as many as
// allowed.
void HardenProcess() {
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);   // the configuration is read at start only
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file size is a full disk: refused, not deadly
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

int Validate(const std::string& path) {
  ConfigProblems problems;
  const auto config = LoadServerConfig(path, &problems);
  if (!problems.empty()) {
    std::cerr << problems.Text();
    return kExitConfig;
  }
  for (const auto& warning : ConfigWarnings(config)) std::cerr << "warning: " << warning << "\n";
  std::cout << "valid\n";
  return kExitOk;
}

int Run(const std::string& path, const std::string& log_level) {
  ConfigProblems problems;
  auto config = LoadServerConfig(path, &problems);
  if (!problems.empty()) {
    std::cerr << problems.Text();
    return kExitConfig;
  }
  if (!log_level.empty() && !signet::ParseLogLevel(log_level, &config.log_level)) {
    std::cerr << "--log-level: unknown level \"" << log_level
              << "\" (trace, debug, info, warn, error or off)\n";
    return kExitUsage;
  }
  // Before any thread: the signals are for sigwait() alone.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  const signet::SystemClock clock;
  signet::OsRandom random;
  const signet::Logger log("signet-server", config.log_level, config.log_format);
  for (const auto& warning : ConfigWarnings(config)) log.Warn(warning);
  auto server = Server::Start(config, clock, random, log);
  if (!server) {
    log.Error("cannot start", {{"error", server.error().Message()}});
    return server.error().reason == signet::kAlreadyRunning ? kExitInUse : kExitStart;
  }
  int signal = 0;
  sigwait(&stop, &signal);
  log.Info("stopping", {{"signal", signal}});
  (*server)->Stop(kGrace);
  log.Info("stopped");
  return kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  HardenProcess();
  CLI::App app(
      "Signet's issuer: authorities, registration, attestation and SVIDs of a trust domain.",
      "signet-server");
  app.footer(kFooter);
  app.require_subcommand(1);
  std::string config;
  std::string log_level;
  auto* run = app.add_subcommand("run", "Serve until SIGTERM or SIGINT.");
  run->add_option("--config", config, "Configuration file (YAML)")->required();
  run->add_option("--log-level", log_level, "Overrides log.level of the configuration");
  auto* validate =
      app.add_subcommand("validate", "Check a configuration file; says every problem.");
  validate->add_option("--config", config, "Configuration file (YAML)")->required();
  auto* version = app.add_subcommand("version", "Print the version.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  if (version->parsed()) {
    std::cout << "signet-server " SIGNET_VERSION "\n";
    return kExitOk;
  }
  return validate->parsed() ? Validate(config) : Run(config, log_level);
}
