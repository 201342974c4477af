#include "proxy/proxy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <latch>

#include "base/open_metrics.h"
#include "net/passed_sockets.h"
#include "proxy/admin/admin_json.h"
#include "proxy/forward/forward_loops.h"
#include "proxy/telemetry/otlp/span_exporter.h"

namespace signet::proxy {
namespace {

// A socket of ours is as open as a loopback port would be to the owner's group, not to all.
constexpr net::UnixListenOptions kUnixOptions{0660, -1, -1};

ListenerKey KeyOf(const ListenerConfig& listener) { return {listener.direction, listener.name}; }

const ListenerConfig* Find(const ProxyConfig* config, const ListenerKey& key) {
  if (config == nullptr) return nullptr;
  for (const ListenerConfig& listener : config->listeners)
    if (KeyOf(listener) == key) return &listener;
  return nullptr;
}

bool SameTargets(const Plan& a, const Plan& b) {
  const auto texts = [](const Plan& plan) {
    std::vector<std::string> all;
    for (const auto& listener : plan.listeners)
      ForEachTarget(listener, [&](const ListenerPlan& each) {
        all.push_back(each.config.forward.ToString());
        for (const net::SocketAddress& target : each.targets) all.push_back(target.ToString());
      });
    return all;
  };
  return texts(a) == texts(b);
}

// Limits that stay the same go on where they are, over all workers.
std::shared_ptr<RateLimiter> LimiterOf(const ListenerConfig& listener, const Plan* before) {
  const mesh::RateLimits& limits = listener.traffic.rate_limits;
  if (!limits.any()) return nullptr;
  if (before != nullptr)
    for (const auto& each : before->listeners)
      if (KeyOf(each->config) == KeyOf(listener) && each->limiter &&
          each->limiter->limits() == limits)
        return each->limiter;
  return std::make_shared<RateLimiter>(limits);
}

}  // namespace

Result<std::unique_ptr<Proxy>> Proxy::Start(std::shared_ptr<const ProxyConfig> config,
                                            const Parts& parts) {
  // Each queue that a predecessor listened on must be heard.
  const std::size_t workers = std::max(
      config->threads > 0 ? config->threads : std::max(1U, std::thread::hardware_concurrency()),
      net::MostPassedQueues());
  std::unique_ptr<Proxy> proxy(new Proxy(parts, workers));
  proxy->workload_api_ = config->workload_api;
  std::unique_ptr<RecordSink> exporter;
  if (config->telemetry.makes_spans()) exporter = SpanExporter::Start(config->telemetry);
  SIGNET_TRY(proxy->telemetry_, Telemetry::Start(config->telemetry, workers, std::move(exporter),
                                                 {parts.clock, parts.random}));
  const std::uint64_t process = parts.random.Below(UINT64_MAX);
  for (std::size_t i = 0; i < workers; ++i) {
    SIGNET_TRY(auto worker,
               Worker::Create({i, workers, parts.clock, parts.log, proxy->admission_,
                               proxy->counters_, parts.random.Below(UINT64_MAX),
                               proxy->telemetry_->lane(i), parts.accept_with_identity, process}));
    proxy->workers_.push_back(std::move(worker));
  }
  SIGNET_RETURN_IF_ERROR(proxy->Apply(std::move(config)));
  return proxy;
}

Proxy::Proxy(const Parts& parts, std::size_t workers)
    : parts_(parts),
      counters_(parts.metrics, workers),
      svid_expiry_(parts.metrics.Gauge("signet_proxy_svid_expiry_timestamp_seconds",
                                       "When the SVID in use ends; 0: none is held.")) {}

Proxy::~Proxy() {
  workers_.clear();
  if (config_) UnlinkSocketsExcept(nullptr);
}

void Proxy::UnlinkSocketsExcept(const ProxyConfig* kept) const {
  for (const ListenerConfig& listener : config_->listeners) {
    const auto same = [&](const ListenerConfig& other) {
      return other.listen_text == listener.listen_text;
    };
    if (listener.listen.is_unix && !(kept && std::ranges::any_of(kept->listeners, same)))
      net::RemoveSocketFile(listener.listen.host);
  }
}

// ---- listeners

Status Proxy::Apply(std::shared_ptr<const ProxyConfig> config) {
  std::vector<ListenerSockets> sockets(workers_.size());
  ListenAddresses addresses;
  for (const ListenerConfig& listener : config->listeners) {
    const ListenerKey key = KeyOf(listener);
    const ListenerConfig* before = Find(config_.get(), key);
    if (before != nullptr && before->listen_text == listener.listen_text) {
      const std::lock_guard lock(mutex_);
      addresses[key] = addresses_[key];
      continue;
    }
    SIGNET_TRY(Opened opened, Open(listener));
    for (std::size_t i = 0; i < workers_.size(); ++i)
      sockets[i][key] = std::move(opened.sockets[i]);
    addresses[key] = opened.address;
    parts_.log.Info("listening", {{"direction", DirectionName(listener.direction)},
                                  {"listener", listener.name},
                                  {"address", opened.address.ToString()},
                                  {"forward", listener.forward.ToString()},
                                  {"rules", listener.policy.rules().size()}});
  }
  for (const std::string& warning : config->warnings) parts_.log.Warn(warning);
  WarnOfFixedSettings(*config);
  telemetry_->Reopen();
  ApplyPlan(MakePlan(*config, addresses), std::move(sockets));
  if (config_) UnlinkSocketsExcept(config.get());
  config_ = std::move(config);
  const std::lock_guard lock(mutex_);
  addresses_ = std::move(addresses);
  shown_ = config_;
  return {};
}

Result<Proxy::Opened> Proxy::Open(const ListenerConfig& listener) const {
  auto opened = listener.listen.is_unix ? OpenUnix(listener) : OpenTcp(listener);
  if (!opened)
    return Fail(opened.error().code, opened.error().reason,
                fmt::format("{} listener '{}': {}", DirectionName(listener.direction),
                            listener.name, opened.error().Message()));
  return opened;
}

bool Proxy::Holds(const net::Address& address) const {
  return config_ && std::ranges::any_of(config_->listeners, [&](const ListenerConfig& listener) {
           return listener.listen.ToString() == address.ToString();
         });
}

Result<Proxy::Opened> Proxy::OpenTcp(const ListenerConfig& listener) const {
  net::Address address = listener.listen;
  // SO_REUSEPORT would let a second proxy of this user share the port in silence: ask without it
  // first, unless it is this process that holds the address.
  if (address.port != 0 && !Holds(address)) {
    SIGNET_TRY([[maybe_unused]] const UniqueFd probe, net::ListenTcp(address, false));
  }
  Opened opened;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    SIGNET_TRY(UniqueFd socket, net::ListenTcp(address, true));
    SIGNET_TRY(opened.address, net::LocalAddress(socket.get()));
    if (address.port == 0) {
      SIGNET_TRY(const net::Address bound, net::Address::Parse(opened.address.ToString()));
      address.port = bound.port;
    }
    opened.sockets.push_back(std::move(socket));
  }
  return opened;
}

Result<Proxy::Opened> Proxy::OpenUnix(const ListenerConfig& listener) const {
  SIGNET_TRY(UniqueFd socket, net::ListenUnix(listener.listen.host, kUnixOptions));
  Opened opened;
  SIGNET_TRY(opened.address, net::LocalAddress(socket.get()));
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    UniqueFd shared(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!shared.valid()) return Fail(Code::kUnavailable, net::kListenFailed, ErrnoText(errno));
    opened.sockets.push_back(std::move(shared));
  }
  return opened;
}

// ---- plans

std::shared_ptr<const Plan> Proxy::MakePlan(const ProxyConfig& config,
                                            const ListenAddresses& addresses) const {
  auto plan = std::make_shared<Plan>();
  std::map<std::string, std::vector<net::SocketAddress>> last;
  if (plan_)
    for (const auto& listener : plan_->listeners)
      ForEachTarget(listener, [&](const ListenerPlan& each) {
        last[each.config.forward.ToString()] = each.targets;
      });
  plan->limits = config.limits;
  std::vector<std::shared_ptr<ListenerPlan>> listeners;
  for (const ListenerConfig& listener : config.listeners) {
    auto each = std::make_shared<ListenerPlan>();
    each->config = listener;
    const auto resolve = [&](const net::Address& address) {
      if (auto targets = address.Resolve()) return *std::move(targets);
      parts_.log.Warn("an address does not resolve; it is tried again",
                      {{"listener", listener.name}, {"address", address.ToString()}});
      return last[address.ToString()];
    };
    if (listener.has_forward()) each->targets = resolve(listener.forward);
    each->limiter = LimiterOf(listener, plan_.get());
    each->backends = PlanBackends(listener, resolve);
    each->by_name = PlanServerNames(listener, resolve);
    listeners.push_back(std::move(each));
  }
  MarkLoops(listeners, addresses);
  plan->listeners.assign(listeners.begin(), listeners.end());
  return plan;
}

void Proxy::MarkLoops(const std::vector<std::shared_ptr<ListenerPlan>>& listeners,
                      const ListenAddresses& addresses) const {
  std::vector<LoopNode> nodes;
  std::vector<ListenerPlan*> plans;
  for (const auto& listener : listeners) {
    const ListenerKey key = KeyOf(listener->config);
    const auto listens = addresses.find(key);
    if (IsHttp(listener->config.protocol) || listens == addresses.end()) continue;
    LoopNode node{fmt::format("{}/{}", DirectionName(key.first), key.second), listens->second, {}};
    ForEachTarget(listener, [&](const ListenerPlan& each) {
      node.targets.insert(node.targets.end(), each.targets.begin(), each.targets.end());
    });
    nodes.push_back(std::move(node));
    plans.push_back(listener.get());
  }
  for (auto& [index, loop] : FindForwardLoops(nodes, IsOwnAddressOfHost)) {
    parts_.log.Error("a listener forwards to itself: its connections are refused",
                     {{"listener", plans[index]->config.name}, {"way", loop}});
    plans[index]->loop = loop;
  }
}

void Proxy::ApplyPlan(std::shared_ptr<const Plan> plan, std::vector<ListenerSockets> sockets) {
  std::vector<std::string> unreachable;
  for (const auto& listener : plan->listeners) {
    if (!listener->loop.empty())
      unreachable.push_back(fmt::format("listener '{}' forwards to itself: {}",
                                        listener->config.name, listener->loop));
    ForEachTarget(listener, [&](const ListenerPlan& each) {
      if (each.targets.empty())
        unreachable.push_back(fmt::format("listener '{}': {} does not resolve", each.config.name,
                                          each.config.forward.ToString()));
    });
  }
  plan_ = plan;
  std::size_t next = 0;
  OnAllWorkers([&](Worker& worker, Worker::Done done) {
    worker.ApplyPlan(plan, std::move(sockets[next++]), std::move(done));
  });
  const std::lock_guard lock(mutex_);
  unreachable_ = std::move(unreachable);
}

void Proxy::Probe() {
  OnAllWorkers([](Worker& worker, Worker::Done done) { worker.Turn(std::move(done)); });
}

void Proxy::Refresh() {
  ListenAddresses addresses;
  {
    const std::lock_guard lock(mutex_);
    addresses = addresses_;
  }
  auto plan = MakePlan(*config_, addresses);
  if (!SameTargets(*plan, *plan_))
    ApplyPlan(std::move(plan), std::vector<ListenerSockets>(workers_.size()));
}

void Proxy::OnAllWorkers(const std::function<void(Worker&, Worker::Done)>& verb) {
  auto all = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(workers_.size()));
  for (const auto& worker : workers_) verb(*worker, [all] { all->count_down(); });
  all->wait();
}

void Proxy::WarnOfFixedSettings(const ProxyConfig& config) const {
  if (!config_) return;
  const auto warn = [&](std::string_view setting) {
    parts_.log.Warn("this setting counts only at the start: restart to apply it",
                    {{"setting", setting}});
  };
  if (config.threads != config_->threads) warn("threads");
  if (config.workload_api != config_->workload_api) warn("workload_api");
  if (config.log_format != config_->log_format) warn("log.format");
  const auto text = [](const auto& address) { return address ? address->ToString() : ""; };
  if (text(config.metrics) != text(config_->metrics)) warn("metrics");
  if (config.telemetry != config_->telemetry) warn("access_log, tracing and admin");
}

// ---- the end

void Proxy::BeginDrain(std::function<void()> done) {
  draining_ = true;
  auto left = std::make_shared<std::atomic<std::size_t>>(workers_.size());
  for (const auto& worker : workers_)
    worker->Drain([left, done] {
      if (left->fetch_sub(1) == 1) done();
    });
}

void Proxy::CutAll() {
  OnAllWorkers([](Worker& worker, Worker::Done done) { worker.CutAll(std::move(done)); });
}

// ---- identity

void Proxy::Deny(const identity::DenialSetPtr& denials) {
  OnAllWorkers(
      [&](Worker& worker, Worker::Done done) { worker.ApplyDenials(denials, std::move(done)); });
}

void Proxy::OnIdentity(IdentityPtr snapshot) {
  ApplyIdentity(snapshot);
  parts_.log.Info("identity", {{"id", snapshot->id.ToString()},
                               {"serial", snapshot->tls.chain.front().SerialHex()},
                               {"valid_until", FormatTime(snapshot->valid_until)},
                               {"bundles", snapshot->bundles.size()}});
}

void Proxy::OnIdentityWithdrawn(const Error& why) {
  bool held = false;
  {
    const std::lock_guard lock(mutex_);
    held = identity_ != nullptr;
    agent_trouble_ = why.Message();
  }
  if (!held) return parts_.log.Info("no identity yet", {{"why", why.Message()}});
  parts_.log.Error("the identity is withdrawn: everything is refused", {{"why", why.Message()}});
  ApplyIdentity(nullptr);
}

// Health says ready only after every worker can handshake, and unready before the first cannot.
void Proxy::ApplyIdentity(const IdentityPtr& identity) {
  const auto tell_workers = [&] {
    OnAllWorkers([&](Worker& worker, Worker::Done done) {
      worker.ApplyIdentity(identity, std::move(done));
    });
  };
  if (identity) tell_workers();
  {
    const std::lock_guard lock(mutex_);
    identity_ = identity;
    if (identity) agent_trouble_.clear();
  }
  if (!identity) tell_workers();
  svid_expiry_.Set(identity ? static_cast<double>(UnixSeconds(identity->valid_until)) : 0);
}

void Proxy::OnAgentTrouble(const Error& why) {
  {
    const std::lock_guard lock(mutex_);
    if (agent_trouble_ == why.Message()) return;  // said already
    agent_trouble_ = why.Message();
  }
  parts_.log.Warn("the Workload API gives nothing now; the last identity stays in force",
                  {{"why", why.Message()}});
}

void Proxy::OnAgentBack() {
  const std::lock_guard lock(mutex_);
  agent_trouble_.clear();
}

// ---- queries

net::Health Proxy::health() const {
  net::Health health;
  const WallTime now = parts_.clock.Now();
  const bool starved =
      std::ranges::any_of(workers_, [](const auto& worker) { return worker->IsStarved(); });
  const std::lock_guard lock(mutex_);
  const bool holds = identity_ && identity_->valid_until > now;
  health.ready = holds && !draining_ && !starved;
  if (draining_) health.problems.push_back("shutting down: connections in progress may finish");
  if (starved) health.problems.push_back("out of file descriptors or memory: accepting pauses");
  if (!identity_)
    health.problems.push_back("no identity: everything is refused");
  else if (!holds)
    health.problems.push_back("the SVID ended at " + FormatTime(identity_->valid_until) +
                              ": new connections are refused");
  if (!agent_trouble_.empty()) health.problems.push_back(agent_trouble_);
  health.problems.insert(health.problems.end(), unreachable_.begin(), unreachable_.end());
  return health;
}

std::string Proxy::ConfigJson() const {
  const std::lock_guard lock(mutex_);
  return proxy::ConfigJson(*shown_, identity_.get());
}

std::vector<LiveConnection> Proxy::LiveConnections() {
  constexpr std::size_t kMostShown = 4096;
  std::mutex mutex;
  std::vector<LiveConnection> all;
  OnAllWorkers([&](Worker& worker, const Worker::Done& done) {
    worker.Describe(kMostShown / workers_.size(), [&, done](std::vector<LiveConnection> some) {
      {
        const std::lock_guard lock(mutex);
        std::ranges::move(some, std::back_inserter(all));
      }
      done();
    });
  });
  return all;
}

std::string Proxy::MetricsText(bool open_metrics) const {
  const std::string text = parts_.metrics.Text() + telemetry_->Text(open_metrics);
  return open_metrics ? ToOpenMetrics(text) : text;
}

std::optional<net::SocketAddress> Proxy::ListenAddress(Direction direction,
                                                       const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = addresses_.find({direction, name});
  if (found == addresses_.end()) return std::nullopt;
  return found->second;
}

}  // namespace signet::proxy
