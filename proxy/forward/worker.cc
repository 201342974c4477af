#include "proxy/forward/worker.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "proxy/http/hops.h"
#include "proxy/inbound/inbound_connection.h"
#include "proxy/outbound/outbound_connection.h"
#include "proxy/passthrough/passthrough_connection.h"
#include "proxy/upstream/backends.h"

namespace signet::proxy {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kStarvedFor = std::chrono::seconds(5);
// Unix sockets are one for all workers; one worker is woken a connection. For TCP, where each
// worker has its own, it changes nothing.
constexpr std::uint32_t kListenEvents = EPOLLIN | EPOLLEXCLUSIVE;

}  // namespace

struct Worker::Listener final : net::EventHandler {
  Listener(Worker& o, std::shared_ptr<Lane> l, UniqueFd s)
      : owner(o), lane(std::move(l)), socket(std::move(s)) {}
  void OnEvents(std::uint32_t) override { owner.Accept(*this); }

  Worker& owner;
  std::shared_ptr<Lane> lane;
  UniqueFd socket;  // invalid once it accepts no more
  bool watched = false;
  net::EventLoop::TimerId pause = 0;
};

Result<std::unique_ptr<Worker>> Worker::Create(const WorkerParts& parts) {
  SIGNET_TRY(std::unique_ptr<net::EventLoop> loop, net::EventLoop::Create(parts.clock));
  SIGNET_TRY(std::shared_ptr<const net::TlsLibrary> library, net::TlsLibrary::Create());
  return std::unique_ptr<Worker>(new Worker(std::move(loop), std::move(library), parts));
}

Worker::Worker(std::unique_ptr<net::EventLoop> loop, std::shared_ptr<const net::TlsLibrary> library,
               const WorkerParts& parts)
    : ConnectionHost({*loop, parts.clock, parts.log, parts.admission, parts.counters, buffers_,
                      std::make_shared<net::TlsScratch>(), parts.telemetry}),
      loop_(std::move(loop)),
      library_(std::move(library)),
      index_(parts.index),
      workers_(parts.workers),
      process_(parts.process),
      waits_for_identity_(parts.accept_with_identity),
      http_shared_(std::make_unique<HttpShared>(*this, parts.first_refusal)) {
  http_ = http_shared_.get();
  thread_ = std::thread([this] { loop_->Run(); });
}

Worker::~Worker() {
  CutAll([this] { loop_->Stop(); });
  thread_.join();
  dead_.clear();
  for (auto& [key, listener] : listeners_) StopListening(*listener);
}

// ---- verbs, from any thread

void Worker::ApplyPlan(std::shared_ptr<const Plan> plan, ListenerSockets sockets, Done done) {
  // std::function wants to be copied; the sockets cannot be.
  auto held = std::make_shared<ListenerSockets>(std::move(sockets));
  loop_->Post([this, plan = std::move(plan), held, done = std::move(done)] {
    SwapPlan(*plan, std::move(*held));
    DecideAll();
    done();
  });
}

void Worker::ApplyIdentity(IdentityPtr identity, Done done) {
  loop_->Post([this, identity = std::move(identity), done = std::move(done)] {
    SwapIdentity(identity);
    DecideAll();
    done();
  });
}

void Worker::Drain(Done done) {
  loop_->Post([this, done = std::move(done)] {
    for (auto& [key, listener] : listeners_) {
      // What the kernel completed already is served: the peer believes that it stands.
      while (listener->watched && Accept(*listener)) {
      }
      StopListening(*listener);
    }
    for (auto next = connections_.begin(); next != connections_.end();)
      (next++)->get()->BeginDrain();
    drained_ = done;
    if (connections_.empty()) std::exchange(drained_, nullptr)();
  });
}

void Worker::ApplyDenials(identity::DenialSetPtr denials, Done done) {
  loop_->Post([this, denials = std::move(denials), done = std::move(done)]() mutable {
    denials_ = std::move(denials);
    DecideAll();
    done();
  });
}

void Worker::CutAll(Done done) {
  loop_->Post([this, done = std::move(done)] {
    while (!connections_.empty())
      connections_.front()->CutOrRefuse(Ending::kDrained, Refusal::kShuttingDown,
                                        "the proxy is shutting down");
    http_shared_->upstreams.CutAll();
    done();
  });
}

void Worker::Turn(Done done) { loop_->Post(std::move(done)); }

void Worker::Describe(std::size_t limit, std::function<void(std::vector<LiveConnection>)> done) {
  loop_->Post([this, limit, done = std::move(done)] {
    std::vector<LiveConnection> live;
    for (const auto& connection : connections_) {
      if (live.size() >= limit) break;
      live.push_back(connection->Describe());
    }
    done(std::move(live));
  });
}

bool Worker::IsStarved() const {
  return parts_.clock.SteadyNow().time_since_epoch().count() <
         starved_until_.load(std::memory_order_relaxed);
}

// ---- plans and identities

void Worker::SwapPlan(const Plan& plan, ListenerSockets sockets) {
  limits_ = plan.limits;
  std::map<ListenerKey, std::unique_ptr<Listener>> kept;
  for (const std::shared_ptr<const ListenerPlan>& each : plan.listeners) {
    const ListenerKey key{each->config.direction, each->config.name};
    std::unique_ptr<Listener> listener = std::move(listeners_[key]);
    if (!listener) {
      auto lane = std::make_shared<Lane>();
      lane->counters = parts_.counters.OfListener(key.first, key.second);
      lane->cell = &lane->counters->cell(index_);
      lane->hop = MakeHopName(process_, key.first, key.second);
      listener = std::make_unique<Listener>(*this, std::move(lane), UniqueFd());
    }
    listener->lane->plan = each;
    FollowBackends(listener->lane.get());
    if (const auto opened = sockets.find(key); opened != sockets.end()) {
      StopListening(*listener);
      listener->socket = std::move(opened->second);
    }
    kept.emplace(key, std::move(listener));
  }
  for (auto& [key, listener] : listeners_) {
    if (!listener) continue;
    StopListening(*listener);
    listener->lane->removed = true;
    if (listener->lane->backends) listener->lane->backends->Remove();
  }
  listeners_ = std::move(kept);
  MakeContexts();
  WatchEndpoints();
  StartListening();
}

void Worker::SwapIdentity(IdentityPtr identity) {
  identity_ = std::move(identity);
  MakeContexts();
  if (identity_ && std::exchange(waits_for_identity_, false)) StartListening();
}

void Worker::DecideAll() {
  // An end takes its connection off the list, never another one.
  for (auto next = connections_.begin(); next != connections_.end();)
    (next++)->get()->DecideAgain();
  http_shared_->upstreams.DecideAgain();
}

void Worker::MakeContexts() {
  server_context_ = http_server_context_ = nullptr;
  for (auto& [key, listener] : listeners_) {
    Lane& lane = *listener->lane;
    lane.context = lane.http2_context = nullptr;
    if (lane.backends)
      lane.backends->ForEachLane([](Lane& each) { each.context = each.http2_context = nullptr; });
    if (!identity_) continue;
    const bool http = MayBeHttp(lane.plan->config.protocol);
    if (key.first == Direction::kOutbound) {
      MakeClientContexts(&lane);
      if (lane.backends) lane.backends->ForEachLane([this](Lane& l) { MakeClientContexts(&l); });
    } else {
      auto& shared = http ? http_server_context_ : server_context_;
      if (!shared) shared = MakeContext(lane, http ? Alpn{"h2", "http/1.1"} : Alpn{});
      lane.context = shared;
    }
  }
}

void Worker::MakeClientContexts(Lane* lane) const {
  const Protocol protocol = lane->plan->config.protocol;
  // Where the protocol is found out it carries bytes too, of which ALPN would say something wrong.
  lane->context = MakeContext(*lane, IsHttp(protocol) ? Alpn{"http/1.1"} : Alpn{});
  if (MayBeHttp(protocol)) lane->http2_context = MakeContext(*lane, {"h2", "http/1.1"});
}

void Worker::FollowBackends(Lane* lane) const {
  if (!lane->backends && !lane->plan->backends.empty())
    lane->backends = std::make_shared<LaneBackends>();
  if (lane->backends) lane->backends->Follow(*lane->plan, *lane, workers_, loop_->now());
}

void Worker::WatchEndpoints() {
  std::vector<HealthChecks::Watched> endpoints;
  for (const auto& [key, listener] : listeners_) {
    if (!listener->lane->backends) continue;
    listener->lane->backends->ForEachBackend([&](const BackendState& backend) {
      if (!backend.config().health_check) return;
      for (const EndpointPtr& endpoint : backend.endpoints())
        endpoints.push_back({endpoint, *backend.config().health_check});
    });
  }
  http_shared_->checks.Watch(endpoints);
}

std::shared_ptr<const net::TlsContext> Worker::MakeContext(const Lane& lane, Alpn alpn) const {
  const bool client = lane.plan->config.direction == Direction::kOutbound;
  net::TlsOptions options;
  options.role = client ? net::TlsRole::kClient : net::TlsRole::kServer;
  options.client_certificate = net::ClientCertificate::kRequired;
  options.library = library_;
  options.alpn = std::move(alpn);
  std::shared_ptr<const mesh::RequestPolicy> expected;
  if (client) expected = {lane.plan, &lane.plan->config.policy};
  auto verifier = std::make_shared<SvidVerifier>(identity_, std::move(expected), parts_.clock);
  auto context = net::TlsContext::Create(options, identity_->tls, std::move(verifier));
  if (context) return *context;
  parts_.log.Error("no TLS context: handshakes are refused",
                   {{"error", context.error().Message()}});
  return nullptr;
}

// ---- accepting

void Worker::StartListening() {
  if (waits_for_identity_) return;
  for (auto& [key, listener] : listeners_) {
    if (listener->watched || listener->pause != 0 || !listener->socket.valid()) continue;
    const Status added = loop_->Add(listener->socket.get(), kListenEvents, listener.get());
    CHECK_TRUE(added.has_value());
    listener->watched = true;
  }
}

void Worker::StopListening(Listener& listener) {
  loop_->Cancel(listener.pause);
  if (listener.watched) loop_->Remove(listener.socket.get(), &listener);
  listener.watched = false;
  listener.socket.Reset();
}

bool Worker::Accept(Listener& listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    net::SocketAddress remote;
    remote.length = sizeof remote.storage;
    UniqueFd socket(::accept4(listener.socket.get(), reinterpret_cast<sockaddr*>(&remote.storage),
                              &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      Admit(listener, std::move(socket), remote);
    } else if (!OnAcceptError(listener, errno)) {
      return false;
    }
  }
  return true;
}

bool Worker::OnAcceptError(Listener& listener, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK) return false;
  listener.lane->cell->accept_errors.Add();
  if (error == ECONNABORTED || error == EINTR || error == EPROTO || error == EPERM) return true;
  // Out of descriptors or memory, most likely: connections wait in the kernel's queue meanwhile.
  listener.lane->cell->accept_pauses.Add();
  starved_until_.store((parts_.clock.SteadyNow() + kStarvedFor).time_since_epoch().count(),
                       std::memory_order_relaxed);
  parts_.log.Warn("accepting pauses",
                  {{"listener", listener.lane->plan->config.name}, {"error", ErrnoText(error)}});
  loop_->Remove(listener.socket.get(), &listener);
  listener.watched = false;
  listener.pause = loop_->RunAfter(kAcceptPause, [this, &listener] {
    listener.pause = 0;
    listener.watched = loop_->Add(listener.socket.get(), kListenEvents, &listener).has_value();
  });
  return false;
}

void Worker::Admit(Listener& listener, UniqueFd socket, const net::SocketAddress& remote) {
  const bool inbound = listener.lane->plan->config.direction == Direction::kInbound;
  std::unique_ptr<Connection> made;
  if (listener.lane->plan->config.protocol == Protocol::kTlsPassthrough)
    made = std::make_unique<PassthroughConnection>(*this, listener.lane, remote, std::move(socket));
  else if (inbound)
    made = std::make_unique<InboundConnection>(*this, listener.lane, remote, std::move(socket));
  else
    made = std::make_unique<OutboundConnection>(*this, listener.lane, remote, std::move(socket));
  Connection& connection = *made;
  connections_.push_front(std::move(made));
  connection.place.all = connections_.begin();
  if (inbound) {
    handshakes_.Add(connection, SourceOf(remote), &connection.place.handshake);
    const auto excess = handshakes_.Find(connection.place.handshake, Share(limits_.handshakes),
                                         Share(limits_.handshakes_per_address));
    if (excess.gives_way != nullptr) excess.gives_way->YieldHandshake(excess.over);
  }
  connection.Start();
}

// ---- the connections' host

void Worker::HandshakeOver(Connection& connection) {
  handshakes_.Remove(&connection.place.handshake);
}

void Worker::Requeue(Connection& connection) {
  if (connection.place.queued) return;
  connection.place.queued = true;
  if (queue_.empty()) loop_->Post([this] { RunQueue(); });
  queue_.push_back(&connection);
}

void Worker::RunQueue() {
  const std::vector<Connection*> queue = std::exchange(queue_, {});
  for (Connection* connection : queue) {
    connection->place.queued = false;
    connection->Continue();
  }
}

void Worker::Remove(Connection& connection) {
  HandshakeOver(connection);
  if (dead_.empty()) loop_->Post([this] { Bury(); });
  dead_.push_back(std::move(*connection.place.all));
  connections_.erase(connection.place.all);
  if (connections_.empty() && drained_) std::exchange(drained_, nullptr)();
}

void Worker::Bury() {
  // Runs after RunQueue() of the same turn or before it: a queued one is dropped from the queue.
  for (const auto& connection : dead_)
    if (connection->place.queued) std::erase(queue_, connection.get());
  dead_.clear();
}

}  // namespace signet::proxy
