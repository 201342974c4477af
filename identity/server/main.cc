// signet-server: the issuer of a trust domain. A parts list; the parts are in server.cc.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <absl/synchronization/mutex.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "base/file.h"
#include "base/memory_keeper.h"
#include "base/service_manager.h"
#include "ca/crypto/key_memory.h"
#include "identity/server/backup.h"
#include "identity/server/server.h"
#include "identity/store/sqlite/log_file.h"
#include "net/passed_sockets.h"

namespace {

using signet::ConfigProblems;
using signet::ServiceManager;
using signet::identity::ConfigWarnings;
using signet::identity::LoadServerConfig;
using signet::identity::Server;

constexpr int kExitOk = 0;
constexpr int kExitConfig = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInUse = 3;
constexpr int kExitStart = 4;
constexpr int kExitLog = 5;
constexpr int kExitBackup = 6;
constexpr auto kGrace = std::chrono::seconds(5);
constexpr std::size_t kKeyMemory = std::size_t{4} << 20;

constexpr const char* kFooter = R"(
Examples:
  signet-server validate --config /etc/signet/server.yaml
  signet-server run --config /etc/signet/server.yaml
  signet-server run --config server.yaml --log-level debug
  signet-server keys rewrap --config /etc/signet/server.yaml
  signet-server backup --config /etc/signet/server.yaml --to /backup/monday
  signet-server restore --config /etc/signet/server.yaml --from /backup/monday
  signet-server verify-log --database copy.db --checkpoint log.head

Exit codes: 0 ended as asked, 1 configuration refused, 2 usage, 3 the data
directory is in use by another server, 4 could not start, 5 the log of a
database was changed or cut, 6 backup or restore failed.)";

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

// Reads a database that no server uses: the chain of its log, and each checkpoint.
int VerifyLog(const std::string& database, const std::string& checkpoint_file) {
  constexpr std::size_t kCheckpointBytes = 64 * 1024;
  const auto refuse = [](const signet::Error& error) {
    std::cerr << "verify-log: " << error.Message() << "\n";
    return kExitLog;
  };
  std::optional<signet::identity::StatedCheckpoint> expected;
  if (!checkpoint_file.empty()) {
    const auto bytes = signet::ReadFile(checkpoint_file, kCheckpointBytes);
    if (!bytes) return refuse(bytes.error());
    auto stated = signet::identity::ParseLogCheckpoint(signet::AsText(*bytes));
    if (!stated) return refuse(stated.error());
    expected = *std::move(stated);
  }
  const auto report = signet::identity::VerifyLogFile(database, expected);
  if (!report) return refuse(report.error());
  std::cout << report->trust_domain << ": records " << report->base.seq + 1 << " to "
            << report->head.seq << " are as they were written; checkpoints cover up to "
            << report->covered << "\n";
  return kExitOk;
}

// Progress on a terminal only: one line, rewritten.
int Backup(const std::string& path, const signet::identity::BackupRequest& request) {
  ConfigProblems problems;
  const auto config = LoadServerConfig(path, &problems);
  if (!problems.empty()) {
    std::cerr << problems.Text();
    return kExitConfig;
  }
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto progress = [&](std::size_t done, std::size_t all) {
    if (terminal && all > 0) std::cerr << "\rcopying: " << done * 100 / all << " %" << std::flush;
  };
  const auto report = signet::identity::BackupServer(config, request, progress);
  if (terminal) std::cerr << "\n";
  if (!report) {
    std::cerr << "backup: " << report.error().Message() << "\n";
    return kExitBackup;
  }
  std::cout << request.folder << ": " << report->trust_domain << ", log up to record "
            << report->log_records << ", " << report->keys << " sealed keys"
            << (request.with_kek ? ", and the key-encryption key: keep it safe\n"
                                 : "; the key-encryption key is not in it: keep it elsewhere\n");
  return kExitOk;
}

int Restore(const std::string& path, const std::string& folder) {
  ConfigProblems problems;
  const auto config = LoadServerConfig(path, &problems);
  if (!problems.empty()) {
    std::cerr << problems.Text();
    return kExitConfig;
  }
  const auto report = signet::identity::RestoreServer(config, folder, signet::SystemClock().Now());
  if (!report) {
    std::cerr << "restore: " << report.error().Message() << "\n";
    return report.error().reason == signet::kAlreadyRunning ? kExitInUse : kExitBackup;
  }
  std::cout << "restored " << report->trust_domain << " up to record " << report->log_records
            << " of its log, and " << report->keys << " sealed keys\n";
  if (!report->put_aside.empty())
    std::cout << "the database that was there is now " << report->put_aside << "\n";
  return kExitOk;
}

// Of systemd; the only part of the environment that is read.
std::string CredentialsFolder() {
  const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
  return folder == nullptr ? std::string() : folder;
}

int Rewrap(const std::string& path, const std::string& next_kek_file) {
  ConfigProblems problems;
  auto config = LoadServerConfig(path, &problems);
  if (!problems.empty()) {
    std::cerr << problems.Text();
    return kExitConfig;
  }
  config.credentials_folder = CredentialsFolder();
  const auto done = signet::identity::RewrapServerKeys(config, next_kek_file);
  if (!done) {
    std::cerr << "keys rewrap: " << done.error().Message() << "\n";
    return done.error().reason == signet::kAlreadyRunning ? kExitInUse : kExitStart;
  }
  std::cout << *done << "\n";
  return kExitOk;
}

ServiceManager::Pulse PulseOf(const signet::net::Health& health) {
  if (health.problems.empty()) return {health.live, "serving"};
  return {health.live, health.problems.front()};
}

int Run(const std::string& path, const std::string& log_level, bool keys_guarded) {
  const auto manager = ServiceManager::FromEnvironment();
  signet::net::TakePassedSockets();
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
  config.credentials_folder = CredentialsFolder();
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
  if (!keys_guarded) log.Warn("no guarded memory for private keys: they lie in the heap");
  auto server = Server::Start(config, clock, random, log);
  if (!server) {
    log.Error("cannot start", {{"error", server.error().Message()}});
    return server.error().reason == signet::kAlreadyRunning ? kExitInUse : kExitStart;
  }
  const signet::MemoryKeeper memory;
  manager.Ready("serving at " + (*server)->listen_address());
  const int signal = manager.AwaitSignal(stop, [&] { return PulseOf((*server)->health()); });
  manager.Stopping();
  log.Info("stopping", {{"signal", signal}});
  (*server)->Stop(kGrace);
  log.Info("stopped");
  return kExitOk;
}

}  // namespace

int main(int argc, char** argv) {
  const bool keys_guarded = signet::ca::ProtectKeyMemory(kKeyMemory);
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
  auto* keys = app.add_subcommand("keys", "The keys on disk, while no server uses them.");
  keys->require_subcommand(1);
  std::string next_kek_file;
  auto* rewrap = keys->add_subcommand(
      "rewrap", "Seal every key under another key-encryption key; run again when interrupted.");
  rewrap->add_option("--config", config, "Configuration file (YAML)")->required();
  rewrap->add_option(
      "--next-kek-file", next_kek_file,
      "Where the next one is, or is made; default: a new one in place of the current");
  std::string database;
  std::string checkpoint;
  auto* verify_log = app.add_subcommand(
      "verify-log", "Prove that the log in a copied database was neither changed nor cut.");
  verify_log->add_option("--database", database, "Copy of server.db")->required();
  verify_log->add_option("--checkpoint", checkpoint,
                         "A checkpoint kept elsewhere (log.head, or signet audit checkpoint)");
  signet::identity::BackupRequest backup_request;
  auto* backup = app.add_subcommand(
      "backup", "Copy the database and the sealed keys while the server serves.");
  backup->add_option("--config", config, "Configuration file (YAML)")->required();
  backup->add_option("--to", backup_request.folder, "Folder to make; must not exist")->required();
  backup->add_flag("--with-kek", backup_request.with_kek,
                   "Copy the key-encryption key too: whoever has both has the trust domain");
  std::string restore_folder;
  auto* restore = app.add_subcommand(
      "restore", "Put a backup in the place of the database, while no server uses it.");
  restore->add_option("--config", config, "Configuration file (YAML)")->required();
  restore->add_option("--from", restore_folder, "Folder made by backup")->required();
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
  if (rewrap->parsed()) return Rewrap(config, next_kek_file);
  if (backup->parsed()) return Backup(config, backup_request);
  if (restore->parsed()) return Restore(config, restore_folder);
  if (verify_log->parsed()) return VerifyLog(database, checkpoint);
  return validate->parsed() ? Validate(config) : Run(config, log_level, keys_guarded);
}
