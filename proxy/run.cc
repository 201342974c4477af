#include "proxy/run.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/memory_keeper.h"
#include "base/random.h"
#include "net/admin_server.h"
#include "net/passed_sockets.h"
#include "proxy/admin/admin_socket.h"
#include "proxy/companion.h"
#include "proxy/file_watch.h"
#include "proxy/identity/denial_gate.h"
#include "proxy/proxy.h"
#include "proxy/upgrade.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

inline constexpr Reason kCannotStart{"cannot start"};
inline constexpr Reason kNotReady{"the application was not started: the proxy is not ready"};
constexpr Duration kRefreshEvery = 30s;
constexpr Duration kSettle = 100ms;
constexpr Duration kStatusEvery = 10s;
constexpr Duration kReadyLook = 20ms;
constexpr Duration kUpgradePatience = 30s;

// SIGQUIT, SIGUSR1, SIGWINCH and SIGCHLD are there for an application beside the proxy.
sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCHLD})
    sigaddset(&signals, signal);
  return signals;
}

// As many descriptors as the system grants. No core and no debugger: they would hold the private
// key. (RLIMIT_CORE alone does not keep a core from a program that the system hands cores to.)
void SetProcessLimits(const LimitsConfig& limits, bool inspectable, const Logger& log) {
  if (inspectable)
    log.Warn("other processes of this user can read its memory and key (--inspectable)");
  else
    ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::size_t wanted = 2 * limits.connections + limits.handshakes + 64;
  if (files.rlim_cur < wanted)
    log.Warn("fewer file descriptors than the limits need: accepting may pause",
             {{"granted", files.rlim_cur}, {"wanted", wanted}});
}

// Main loop: signals, file changes, timers.
class Program final : public net::EventHandler {
 public:
  Program(const RunOptions& options, const Logger& log, const Clock& clock, net::EventLoop& loop,
          Metrics& metrics)
      : options_(options),
        log_(log),
        clock_(clock),
        loop_(loop),
        metrics_(metrics),
        applied_(Reloads("applied")),
        refused_(Reloads("refused")),
        upgrades_failed_(metrics.Counter("signet_proxy_upgrades_failed_total",
                                         "Successors that were started and did not serve.", {})),
        predecessor_(net::TakePredecessor()) {
    if (!options.application.empty()) application_.emplace(options.application);
  }

  Status Start(std::shared_ptr<const ProxyConfig> config) {
    limits_ = config->limits;
    // Whoever waits in a socket that was there before us is not taken out only to be refused.
    const bool with_identity = net::MostPassedQueues() > 0;
    SIGNET_TRY(proxy_, Proxy::Start(config, {clock_, log_, metrics_, random_, with_identity}));
    if (config->metrics) {
      SIGNET_TRY(admin_, net::AdminServer::Start(
                             *config->metrics, [this] { return proxy_->health(); },
                             [this](bool open) { return proxy_->MetricsText(open); }));
      log_.Info("health and metrics", {{"port", admin_->port()}});
    }
    if (!config->telemetry.admin.empty()) {
      SIGNET_TRY(admin_socket_, AdminSocket::Start(config->telemetry.admin, *proxy_, clock_));
    }
    gate_ = std::make_unique<DenialGate>(
        *proxy_, [this](identity::DenialSetPtr denials) { proxy_->Deny(denials); }, log_);
    mesh_client_ = MeshClient::Start({config->workload_api}, *gate_, random_, metrics_);
    client_ = WorkloadClient::Start({config->workload_api}, *gate_, clock_, random_, metrics_);
    const sigset_t signals = Signals();
    signals_.Reset(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!signals_.valid()) return Fail(Code::kInternal, kCannotStart, ErrnoText(errno));
    SIGNET_RETURN_IF_ERROR(loop_.Add(signals_.get(), EPOLLIN, this));
    Watch(*config);
    RefreshLater();
    manager_.Ready("listening");
    PulseLater();
    if (IsSuccessor()) net::CloseGiven();
    if (IsSuccessor() || application_) AwaitReady(clock_.SteadyNow() + options_.ready_within);
    return {};
  }

  // Of the application; 0 without one.
  const Result<int>& end() const { return end_; }

  // The identity first: nothing may reach a proxy that is going away. `proxy_` cuts what is left.
  void Stop() {
    loop_.Remove(signals_.get(), this);
    upgrade_.reset();
    watch_.reset();
    client_.reset();
    mesh_client_.reset();
    admin_.reset();
    admin_socket_.reset();
    proxy_.reset();
  }

 private:
  Counter& Reloads(const std::string& result) {
    return metrics_.Counter("signet_proxy_reloads_total", "Reloads of the configuration.",
                            {{"result", result}});
  }

  void OnEvents(std::uint32_t) override {
    signalfd_siginfo signal{};
    while (::read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
      if (application_)
        OnSignalBeside(signal);
      else
        OnSignal(static_cast<int>(signal.ssi_signo));
    }
  }

  void OnSignal(int signal) {
    if (signal == SIGHUP) return Reload();
    if (signal == SIGUSR2) return BeginUpgrade();
    if (signal == SIGTERM || signal == SIGINT) Drain();
  }

  // The application decides what a signal means; its end is what ends the proxy.
  void OnSignalBeside(const signalfd_siginfo& signal) {
    const int number = static_cast<int>(signal.ssi_signo);
    if (number == SIGCHLD) {
      if (const auto code = application_->Reap()) EndWithApplication(*code);
    } else if (application_->runs()) {
      application_->Forward(signal);
    } else if (number == SIGTERM || number == SIGINT || number == SIGQUIT) {
      constexpr int kSignalled = 128;
      if (!application_->started()) end_ = kSignalled + number;
      Drain();
    }
  }

  void EndWithApplication(int code) {
    if (draining_) return;
    end_ = code;
    log_.Info("the application has ended", {{"code", code}});
    Drain();
  }

  bool IsSuccessor() const { return predecessor_.valid(); }

  void AwaitReady(SteadyTime until) {
    if (draining_) return;
    if (proxy_->health().ready) return OnReadyToServe();
    if (application_ && clock_.SteadyNow() >= until) {
      end_ = Fail(Code::kDeadlineExceeded, kNotReady, proxy_->health().problems.front());
      return Drain();
    }
    loop_.RunAfter(kReadyLook, [this, until] { AwaitReady(until); });
  }

  void OnReadyToServe() {
    if (IsSuccessor()) {
      const char byte = '1';
      // A predecessor that is gone needs no answer: its sockets are ours already.
      if (::write(predecessor_.get(), &byte, 1) != 1) log_.Warn("the predecessor does not listen");
      predecessor_.Reset();
      log_.Info("took over");
    }
    if (!application_) return;
    if (const Status started = application_->Start(); !started) {
      end_ = tl::unexpected(started.error());
      return Drain();
    }
    log_.Info("the application is started", {{"pid", application_->pid()}});
  }

  void BeginUpgrade() {
    if (draining_ || upgrade_) return log_.Info("no upgrade now: one is in progress, or the end");
    if (::getpid() == 1)
      return log_.Error("no upgrade: as process 1 of its container this one must stay to its end");
    log_.Info("upgrade: starting the new process", {{"program", options_.image.path}});
    auto upgrade = Upgrade::Start(loop_, options_.image, manager_.Environment(), kUpgradePatience,
                                  [this](const Result<pid_t>& successor) {
                                    if (successor) return GiveWay(*successor);
                                    OnUpgradeFailed(successor.error());
                                  });
    if (!upgrade) return OnUpgradeFailed(upgrade.error());
    upgrade_ = *std::move(upgrade);
  }

  void OnUpgradeFailed(const Error& why) {
    upgrades_failed_.Add();
    log_.Error("no upgrade: this process goes on", {{"why", why.Message()}});
    upgrade_.reset();
  }

  void GiveWay(pid_t successor) {
    log_.Info("upgrade: the new process serves", {{"pid", successor}});
    net::LeaveSocketFiles();
    manager_.Succeed(successor, "listening");
    admin_.reset();
    admin_socket_.reset();
    upgrade_.reset();
    Drain();
  }

  void Watch(const ProxyConfig& config) {
    auto watch = FileWatch::Start(loop_, config.files, kSettle, [this] { Reload(); });
    if (watch)
      watch_ = *std::move(watch);
    else
      log_.Warn("changes of files are not seen; send SIGHUP", {{"why", watch.error().Message()}});
  }

  void RefreshLater() {
    loop_.RunAfter(kRefreshEvery, [this] {
      if (!draining_) proxy_->Refresh();
      RefreshLater();
    });
  }

  // A worker that does not turn keeps Probe() from returning, and the manager's watchdog hungry.
  void PulseLater() {
    const Duration watched = manager_.watchdog_period();
    loop_.RunAfter(
        watched > Duration::zero() ? std::min(watched, kStatusEvery) : kStatusEvery, [this] {
          proxy_->Probe();
          manager_.KeepAlive();
          const net::Health health = proxy_->health();
          const std::string status = health.problems.empty() ? "serving" : health.problems.front();
          if (std::exchange(said_, status) != status) manager_.Say(status);
          PulseLater();
        });
  }

  void Reload() {
    if (draining_) return log_.Info("no reload while shutting down");
    manager_.Reloading();
    ApplyFile();
    manager_.Ready("listening");
  }

  void ApplyFile() {
    ConfigProblems problems;
    auto config = LoadConfig(options_.config_path, options_.endpoint_socket, &problems);
    if (!config) return Refuse(problems);
    if (const Status applied = proxy_->Apply(config); !applied) {
      problems.Add({options_.config_path, 0, applied.error().Message(), {}});
      return Refuse(problems);
    }
    limits_ = config->limits;
    log_.SetLevel(config->log_level);
    Watch(*config);
    applied_.Add();
    log_.Info("configuration reloaded", {{"listeners", config->listeners.size()}});
  }

  void Refuse(const ConfigProblems& problems) {
    refused_.Add();
    for (const ConfigProblem& problem : problems.all())
      log_.Error("reload refused, the old configuration stays",
                 {{"at", fmt::format("{}:{}", problem.file, problem.line)},
                  {"problem", problem.message},
                  {"hint", problem.hint}});
  }

  void Drain() {
    if (draining_) return loop_.Stop();  // asked twice
    draining_ = true;
    manager_.Stopping();
    log_.Info("shutting down",
              {{"connections", proxy_->connections()}, {"drain", FormatDuration(limits_.drain)}});
    proxy_->BeginDrain([this] { loop_.Stop(); });
    loop_.RunAfter(limits_.drain, [this] {
      log_.Warn("the time to drain is over", {{"connections", proxy_->connections()}});
      loop_.Stop();
    });
  }

  const RunOptions& options_;
  ServiceManager manager_{options_.manager};
  const Logger& log_;
  const Clock& clock_;
  net::EventLoop& loop_;
  Metrics& metrics_;
  Counter& applied_;
  Counter& refused_;
  Counter& upgrades_failed_;
  UniqueFd predecessor_;  // until it was told that this process serves
  OsRandom random_;
  LimitsConfig limits_;
  std::unique_ptr<Proxy> proxy_;
  std::unique_ptr<net::AdminServer> admin_;
  std::unique_ptr<AdminSocket> admin_socket_;
  std::unique_ptr<DenialGate> gate_;
  std::unique_ptr<MeshClient> mesh_client_;
  std::unique_ptr<WorkloadClient> client_;
  std::unique_ptr<FileWatch> watch_;
  std::unique_ptr<Upgrade> upgrade_;  // in progress
  std::optional<Companion> application_;
  Result<int> end_{0};
  UniqueFd signals_;
  std::string said_;  // to the service manager
  bool draining_ = false;
};

}  // namespace

void BlockSignals() {
  const sigset_t signals = Signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a log file at its limit must not end the traffic
}

Result<int> Run(const RunOptions& options, std::shared_ptr<const ProxyConfig> config) {
  const Logger log("signet-proxy", config->log_level, config->log_format);
  const SystemClock clock;
  Metrics metrics;
  SetProcessLimits(config->limits, options.inspectable, log);
  SIGNET_TRY(const std::unique_ptr<net::EventLoop> loop, net::EventLoop::Create(clock));
  Program program(options, log, clock, *loop, metrics);
  log.Info("starting", {{"version", SIGNET_VERSION}, {"config", options.config_path}});
  const MemoryKeeper memory;
  const Status started = program.Start(std::move(config));
  if (started) loop->Run();
  program.Stop();
  if (!started) return tl::unexpected(started.error());
  log.Info("stopped");
  return program.end();
}

}  // namespace signet::proxy
