#include "net/tls_front.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <future>
#include <map>
#include <thread>
#include <unordered_map>

#include "net/tls_bridge.h"

namespace signet::net {
namespace {

constexpr Duration kResourcePause = std::chrono::milliseconds(100);
constexpr Duration kBrokenListenerPause = std::chrono::seconds(1);
constexpr Duration kAlertLinger = std::chrono::seconds(1);
constexpr std::size_t kAlertLingerBytes = 256 * 1024;
constexpr int kAcceptsPerTurn = 64;
constexpr int kRefusalLinesPerSecond = 10;

// How a handshake ended, in the order of kOutcomeNames.
enum class Outcome {
  kOk,
  kNoCertificate,
  kPeerRefused,
  kProtocol,
  kPeerLeft,
  kDeadline,
  kConnectionLimit,
  kAddressLimit,
  kNoResources,
  kNoContext,
  kAnonymousLimit,
};
struct OutcomeName {
  const char* result;
  const char* reason;
};
constexpr std::array<OutcomeName, 11> kOutcomeNames = {{{"ok", "none"},
                                                        {"refused", "no_certificate"},
                                                        {"refused", "peer_refused"},
                                                        {"failed", "protocol"},
                                                        {"failed", "peer_left"},
                                                        {"failed", "deadline"},
                                                        {"dropped", "connection_limit"},
                                                        {"dropped", "address_limit"},
                                                        {"dropped", "no_resources"},
                                                        {"dropped", "no_context"},
                                                        {"dropped", "anonymous_limit"}}};
constexpr std::array<const char*, 5> kEndNames = {"closed", "broken", "expired", "idle", "cut"};

Outcome Classify(const Error& error) {
  if (error.reason == kTlsNoPeerCertificate) return Outcome::kNoCertificate;
  if (error.reason == kTlsPeerRefused) return Outcome::kPeerRefused;
  return error.code == Code::kUnavailable ? Outcome::kPeerLeft : Outcome::kProtocol;
}

// The address without the port; all callers of a Unix socket count as one.
std::string AddressKey(const SocketAddress& remote) {
  if (remote.family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(remote.storage);
    return std::string(reinterpret_cast<const char*>(&v4.sin_addr), sizeof v4.sin_addr);
  }
  if (remote.family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(remote.storage);
    return std::string(reinterpret_cast<const char*>(&v6.sin6_addr), sizeof v6.sin6_addr);
  }
  return "";
}

struct FrontMetrics {
  explicit FrontMetrics(Metrics& metrics)
      : connections(metrics.Gauge("signet_tls_connections", "Established TLS connections.")),
        paused_full(Paused(metrics, "handshakes")),
        paused_resources(Paused(metrics, "resources")),
        seconds(metrics.Histogram("signet_tls_handshake_seconds", "Accept to end of a handshake.",
                                  {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10})) {
    for (const OutcomeName& name : kOutcomeNames)
      handshakes.push_back(&metrics.Counter("signet_tls_handshakes_total",
                                            "Connections accepted, by how the handshake ended.",
                                            {{"result", name.result}, {"reason", name.reason}}));
    for (const char* how : kEndNames)
      ends.push_back(
          &metrics.Counter("signet_tls_ends_total", "TLS connections that ended.", {{"how", how}}));
  }
  static Counter& Paused(Metrics& metrics, const char* reason) {
    return metrics.Counter("signet_tls_accept_pauses_total",
                           "Times accepting paused, for too many handshakes or lack of resources.",
                           {{"reason", reason}});
  }
  Gauge& connections;
  Counter& paused_full;
  Counter& paused_resources;
  Histogram& seconds;
  std::vector<Counter*> handshakes;  // by Outcome
  std::vector<Counter*> ends;        // by ConnectionEnd
};

}  // namespace

struct TlsFront::State {
  // A connection until it is served: it shakes hands, or sees to it that its alert arrives.
  struct Newcomer final : EventHandler {
    Newcomer(State* owner, std::uint64_t own_id) : front(owner), id(own_id) {}
    void OnEvents(std::uint32_t) override { front->OnNewcomer(this); }
    State* front;
    std::uint64_t id;
    SteadyTime since;
    SocketAddress remote;
    std::unique_ptr<TlsStream> stream;
    EventLoop::TimerId deadline = 0;
    bool lingering = false;
    std::size_t discarded = 0;
  };
  struct Listener final : EventHandler {
    explicit Listener(State* owner) : front(owner) {}
    void OnEvents(std::uint32_t) override { front->OnAcceptable(); }
    State* front;
  };

  State(UniqueFd listener_fd, ContextSource context_source, FrontService& front_service,
        const TlsFrontLimits& front_limits, const Logger& logger, Metrics& metric_registry)
      : listener(std::move(listener_fd)),
        contexts(std::move(context_source)),
        service(front_service),
        limits(front_limits),
        log(logger),
        metrics(metric_registry) {}

  void OnAcceptable();
  bool AcceptOne();
  void Admit(UniqueFd socket, const SocketAddress& remote);
  void OnNewcomer(Newcomer* newcomer);
  void Establish(std::unique_ptr<Newcomer> newcomer);
  void Refuse(Newcomer* newcomer, Outcome outcome);
  void Linger(Newcomer* newcomer);
  void Drop(Newcomer* newcomer);
  std::unique_ptr<Newcomer> Detach(Newcomer* newcomer);
  void OnEnd(std::uint64_t id, ConnectionEnd how);
  void HandshakeEnded(const Newcomer& newcomer, Outcome outcome);
  void Forget(const std::string& address_key);
  void ListenAgain();
  void StopListening();
  void PauseFor(Duration time);
  void CloseAll();
  void LogRefusal(const Newcomer& newcomer, Outcome outcome);

  UniqueFd listener;
  const ContextSource contexts;
  FrontService& service;
  const TlsFrontLimits limits;
  const Logger& log;
  FrontMetrics metrics;
  std::unique_ptr<EventLoop> loop;
  std::thread thread;
  std::atomic<std::size_t> established{0};

  // The loop's thread only.
  Listener listener_handler{this};
  bool listening = false;
  EventLoop::TimerId resume = 0;
  std::shared_ptr<TlsScratch> scratch = std::make_shared<TlsScratch>();
  std::uint64_t last_id = 0;
  std::size_t handshakes = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Newcomer>> newcomers;
  struct Established {
    std::string address_key;
    bool is_anonymous = false;
  };
  std::unordered_map<std::uint64_t, Established> established_rows;
  std::size_t anonymous = 0;
  std::map<std::string, std::size_t> per_address;
  SteadyTime refusal_second;
  int refusal_lines = 0;
};

void TlsFront::State::OnAcceptable() {
  for (int i = 0; i < kAcceptsPerTurn && listening; ++i) {
    if (!AcceptOne()) return;
  }
}

bool TlsFront::State::AcceptOne() {
  if (handshakes >= limits.max_handshakes) {  // the rest waits in the kernel's queue
    metrics.paused_full.Add();
    StopListening();
    return false;
  }
  SocketAddress remote;
  remote.length = sizeof remote.storage;
  UniqueFd socket(accept4(listener.get(), reinterpret_cast<sockaddr*>(&remote.storage),
                          &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.valid()) {
    Admit(std::move(socket), remote);
    return true;
  }
  switch (errno) {
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      metrics.paused_resources.Add();
      log.Warn("no descriptors or memory for new connections; they wait",
               {{"error", ErrnoText(errno)}});
      PauseFor(kResourcePause);
      return false;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
      log.Error("the listener does not accept", {{"error", ErrnoText(errno)}});
      PauseFor(kBrokenListenerPause);
      return false;
    default:  // the connection was over before it was accepted; the next may not be
      return true;
  }
}

void TlsFront::State::Admit(UniqueFd socket, const SocketAddress& remote) {
  const auto drop = [this](Outcome why) {
    metrics.handshakes[static_cast<std::size_t>(why)]->Add();
  };
  if (newcomers.size() + established_rows.size() >= limits.max_connections)
    return drop(Outcome::kConnectionLimit);
  std::size_t& from_address = per_address[AddressKey(remote)];
  if (from_address >= limits.max_per_address) return drop(Outcome::kAddressLimit);
  ++from_address;

  auto context = contexts();
  auto owner = std::make_unique<Newcomer>(this, ++last_id);
  Newcomer* newcomer = owner.get();
  const int fd = socket.get();
  if (context == nullptr) {
    drop(Outcome::kNoContext);
    return Forget(AddressKey(remote));
  }
  newcomer->since = loop->now();
  newcomer->remote = remote;
  newcomer->stream = std::make_unique<TlsStream>(std::move(context), std::move(socket), scratch);
  if (!loop->Add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, newcomer)) {
    drop(Outcome::kNoResources);
    return Forget(AddressKey(remote));
  }
  newcomers.emplace(newcomer->id, std::move(owner));
  ++handshakes;
  newcomer->deadline = loop->RunAfter(limits.handshake_deadline, [this, newcomer] {
    newcomer->deadline = 0;
    LogRefusal(*newcomer, Outcome::kDeadline);
    HandshakeEnded(*newcomer, Outcome::kDeadline);
    Drop(newcomer);
  });
}

void TlsFront::State::OnNewcomer(Newcomer* newcomer) {
  if (newcomer->lingering) return Linger(newcomer);
  switch (newcomer->stream->Handshake()) {
    case IoStatus::kOk:
      return Establish(Detach(newcomer));
    case IoStatus::kError:
      return Refuse(newcomer, Classify(newcomer->stream->error()));
    default:
      return;  // the next edge
  }
}

void TlsFront::State::Establish(std::unique_ptr<Newcomer> newcomer) {
  const bool is_anonymous = newcomer->stream->peer() == nullptr;
  if (is_anonymous && anonymous >= limits.max_anonymous) {
    HandshakeEnded(*newcomer, Outcome::kAnonymousLimit);
    return Forget(AddressKey(newcomer->remote));
  }
  HandshakeEnded(*newcomer, Outcome::kOk);
  metrics.connections.Add(1);
  ++established;
  established_rows.emplace(newcomer->id, Established{AddressKey(newcomer->remote), is_anonymous});
  if (is_anonymous) ++anonymous;
  service.Adopt({newcomer->id, std::move(newcomer->stream), newcomer->remote});
}

// The alert is on its way; closing now, with bytes of the peer unread, could destroy it.
void TlsFront::State::Refuse(Newcomer* newcomer, Outcome outcome) {
  LogRefusal(*newcomer, outcome);
  HandshakeEnded(*newcomer, outcome);
  loop->Cancel(newcomer->deadline);
  newcomer->lingering = true;
  newcomer->deadline = loop->RunAfter(kAlertLinger, [this, newcomer] { Drop(newcomer); });
  shutdown(newcomer->stream->fd(), SHUT_WR);
  Linger(newcomer);
}

void TlsFront::State::Linger(Newcomer* newcomer) {
  std::array<std::uint8_t, 4096> discard;
  ssize_t got = 0;
  while (newcomer->discarded < kAlertLingerBytes &&
         (got = recv(newcomer->stream->fd(), discard.data(), discard.size(), 0)) > 0)
    newcomer->discarded += static_cast<std::size_t>(got);
  if (got < 0 && errno == EAGAIN) return;
  Drop(newcomer);
}

void TlsFront::State::Drop(Newcomer* newcomer) {
  const std::unique_ptr<Newcomer> owner = Detach(newcomer);
  Forget(AddressKey(owner->remote));
}

std::unique_ptr<TlsFront::State::Newcomer> TlsFront::State::Detach(Newcomer* newcomer) {
  loop->Remove(newcomer->stream->fd(), newcomer);
  loop->Cancel(newcomer->deadline);
  const auto found = newcomers.find(newcomer->id);
  std::unique_ptr<Newcomer> owner = std::move(found->second);
  newcomers.erase(found);
  return owner;
}

void TlsFront::State::OnEnd(std::uint64_t id, ConnectionEnd how) {
  metrics.ends[static_cast<std::size_t>(how)]->Add();
  metrics.connections.Add(-1);
  --established;
  const auto row = established_rows.find(id);
  if (row->second.is_anonymous) --anonymous;
  Forget(row->second.address_key);
  established_rows.erase(row);
}

void TlsFront::State::HandshakeEnded(const Newcomer& newcomer, Outcome outcome) {
  metrics.handshakes[static_cast<std::size_t>(outcome)]->Add();
  metrics.seconds.Observe(std::chrono::duration<double>(loop->now() - newcomer.since).count());
  --handshakes;
  if (resume == 0) ListenAgain();
}

void TlsFront::State::Forget(const std::string& address_key) {
  const auto found = per_address.find(address_key);
  if (found != per_address.end() && --found->second == 0) per_address.erase(found);
}

void TlsFront::State::ListenAgain() {
  if (listening || !listener.valid()) return;
  if (loop->Add(listener.get(), EPOLLIN, &listener_handler))
    listening = true;
  else
    PauseFor(kResourcePause);
}

void TlsFront::State::StopListening() {
  if (listening) loop->Remove(listener.get(), &listener_handler);
  listening = false;
}

void TlsFront::State::PauseFor(Duration time) {
  StopListening();
  loop->Cancel(resume);
  resume = loop->RunAfter(time, [this] {
    resume = 0;
    ListenAgain();
  });
}

void TlsFront::State::CloseAll() {
  StopListening();
  loop->Cancel(resume);
  while (!newcomers.empty()) {
    Newcomer* newcomer = newcomers.begin()->second.get();
    if (!newcomer->lingering) --handshakes;
    Drop(newcomer);
  }
  metrics.connections.Add(-static_cast<double>(established_rows.size()));
  service.CloseAll();
}

// At most a few lines a second: whoever can connect must not fill the disk.
void TlsFront::State::LogRefusal(const Newcomer& newcomer, Outcome outcome) {
  if (loop->now() - refusal_second >= std::chrono::seconds(1)) {
    if (refusal_lines > kRefusalLinesPerSecond)
      log.Info("more refused connections, not listed",
               {{"count", refusal_lines - kRefusalLinesPerSecond}});
    refusal_second = loop->now();
    refusal_lines = 0;
  }
  if (++refusal_lines > kRefusalLinesPerSecond) return;
  log.Info("connection refused",
           {{"remote", newcomer.remote.ToString()},
            {"why", kOutcomeNames[static_cast<std::size_t>(outcome)].reason},
            {"error", outcome == Outcome::kDeadline
                          ? "no handshake in time"
                          : EscapeForLog(newcomer.stream->error().Message())}});
}

TlsFront::TlsFront(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<TlsFront>> TlsFront::Start(UniqueFd listener, ContextSource contexts,
                                                  FrontService& service,
                                                  const TlsFrontLimits& limits, const Clock& clock,
                                                  const Logger& log, Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(listener), std::move(contexts), service, limits,
                                       log, metrics);
  State* front = state.get();
  EnableKeepAlive(front->listener.get());  // accepted sockets inherit it
  SIGNET_TRY(front->loop, EventLoop::Create(clock));
  SIGNET_RETURN_IF_ERROR(
      front->loop->Add(front->listener.get(), EPOLLIN, &front->listener_handler));
  front->listening = true;
  front->service.Attach(*front->loop,
                        [front](std::uint64_t id, ConnectionEnd how) { front->OnEnd(id, how); });
  front->thread = std::thread([front] { front->loop->Run(); });
  return std::unique_ptr<TlsFront>(new TlsFront(std::move(state)));
}

TlsFront::~TlsFront() {
  state_->loop->Post([front = state_.get()] { front->CloseAll(); });
  state_->loop->Stop();
  state_->thread.join();
}

std::size_t TlsFront::CutWhere(const std::function<bool(const PeerIdentity&)>& should_cut) {
  if (state_->loop->InLoopThread()) return state_->service.CutWhere(should_cut);
  std::promise<std::size_t> count;
  state_->loop->Post([&] { count.set_value(state_->service.CutWhere(should_cut)); });
  return count.get_future().get();
}

std::size_t TlsFront::connections() const { return state_->established; }

void TlsFront::StopAccepting() {
  state_->loop->Post([front = state_.get()] {
    front->StopListening();
    front->loop->Cancel(front->resume);
    front->resume = 0;
    front->listener.Reset();
  });
}

}  // namespace signet::net
