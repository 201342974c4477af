#include "proxy/run.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/random.h"
#include "net/admin_server.h"
#include "proxy/admin/admin_socket.h"
#include "proxy/file_watch.h"
#include "proxy/identity/denial_gate.h"
#include "proxy/proxy.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

inline constexpr Reason kCannotStart{"cannot start"};
constexpr Duration kRefreshEvery = 30s;
constexpr Duration kSettle = 100ms;
constexpr Duration kStatusEvery = 10s;

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

// As many descriptors as the system grants, and no core file: it would hold the private key.
void SetProcessLimits(const LimitsConfig& limits, const Logger& log) {
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
        refused_(Reloads("refused")) {}

  Status Start(std::shared_ptr<const ProxyConfig> config) {
    limits_ = config->limits;
    SIGNET_TRY(proxy_, Proxy::Start(config, {clock_, log_, metrics_, random_}));
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
    options_.manager.Ready("listening");
    PulseLater();
    return {};
  }

  // The identity first: nothing may reach a proxy that is going away. `proxy_` cuts what is left.
  void Stop() {
    loop_.Remove(signals_.get(), this);
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
      if (signal.ssi_signo == SIGHUP)
        Reload();
      else
        Drain();
    }
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
    const Duration watched = options_.manager.watchdog_period();
    loop_.RunAfter(
        watched > Duration::zero() ? std::min(watched, kStatusEvery) : kStatusEvery, [this] {
          proxy_->Probe();
          options_.manager.KeepAlive();
          const net::Health health = proxy_->health();
          const std::string status = health.problems.empty() ? "serving" : health.problems.front();
          if (std::exchange(said_, status) != status) options_.manager.Say(status);
          PulseLater();
        });
  }

  void Reload() {
    if (draining_) return log_.Info("no reload while shutting down");
    options_.manager.Reloading();
    ApplyFile();
    options_.manager.Ready("listening");
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
    options_.manager.Stopping();
    log_.Info("shutting down",
              {{"connections", proxy_->connections()}, {"drain", FormatDuration(limits_.drain)}});
    proxy_->BeginDrain([this] { loop_.Stop(); });
    loop_.RunAfter(limits_.drain, [this] {
      log_.Warn("the time to drain is over", {{"connections", proxy_->connections()}});
      loop_.Stop();
    });
  }

  const RunOptions& options_;
  const Logger& log_;
  const Clock& clock_;
  net::EventLoop& loop_;
  Metrics& metrics_;
  Counter& applied_;
  Counter& refused_;
  OsRandom random_;
  LimitsConfig limits_;
  std::unique_ptr<Proxy> proxy_;
  std::unique_ptr<net::AdminServer> admin_;
  std::unique_ptr<AdminSocket> admin_socket_;
  std::unique_ptr<DenialGate> gate_;
  std::unique_ptr<MeshClient> mesh_client_;
  std::unique_ptr<WorkloadClient> client_;
  std::unique_ptr<FileWatch> watch_;
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

Status Run(const RunOptions& options, std::shared_ptr<const ProxyConfig> config) {
  const Logger log("signet-proxy", config->log_level, config->log_format);
  const SystemClock clock;
  Metrics metrics;
  SetProcessLimits(config->limits, log);
  SIGNET_TRY(const std::unique_ptr<net::EventLoop> loop, net::EventLoop::Create(clock));
  Program program(options, log, clock, *loop, metrics);
  log.Info("starting", {{"version", SIGNET_VERSION}, {"config", options.config_path}});
  const Status started = program.Start(std::move(config));
  if (started) loop->Run();
  program.Stop();
  if (started) log.Info("stopped");
  return started;
}

}  // namespace signet::proxy
