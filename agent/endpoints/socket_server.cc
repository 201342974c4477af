#include "agent/endpoints/socket_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

#include "base/log_limit.h"
#include "net/event_loop.h"
#include "net/grpc/rpc_server.h"

namespace signet::agent {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr Duration kRetryAfter = std::chrono::milliseconds(200);  // descriptors had run out
constexpr std::size_t kMaxRequestBytes = 1 << 20;  // an Envoy says all it can do in its first one
constexpr std::uint32_t kMaxStreamsPerConnection = 100;
constexpr Duration kRestLimit = std::chrono::minutes(10);
constexpr Duration kStopGrace = std::chrono::milliseconds(500);
constexpr std::uint32_t kRefusalLinesPerSecond = 10;

// Silent peers are asked for a sign of life; those that give none are closed. One that answers may
// keep a stream as long as it likes.
net::RpcServerLimits LimitsOf(const CallerLimits& limits) {
  net::RpcServerLimits result;
  result.calls.message_bytes = kMaxRequestBytes;
  result.calls.connection_bytes = 4 * kMaxRequestBytes;
  result.calls.streams = kMaxStreamsPerConnection;
  result.calls.any_authority = true;
  result.idle_limit = Duration::max();
  result.rest_limit = kRestLimit;
  result.ping_after = limits.keepalive;
  result.ping_patience = limits.keepalive_timeout;
  return result;
}

}  // namespace

struct SocketServer::State final : net::EventHandler {
  State(const CallerLimits& limits, const Clock& given_clock, const Logger& logger,
        Metrics& metrics)
      : clock(given_clock),
        log(logger),
        refusal_lines(given_clock, kRefusalLinesPerSecond),
        callers(limits),
        rejected(metrics.Counter("signet_agent_connections_refused_total",
                                 "Connections to the agent's sockets closed at once")) {}

  // On the loop.
  void OnEvents(std::uint32_t /*events*/) override;
  void Adopt(UniqueFd connection);
  void Listen();
  void WaitForRoom();
  void CloseListener();

  UniqueFd listener;
  const Clock& clock;
  const Logger& log;
  LogLimiter refusal_lines;
  CallerTable callers;
  Counter& rejected;
  std::unique_ptr<net::EventLoop> loop;
  std::unique_ptr<net::RpcServer> server;
  std::thread thread;
};

void SocketServer::State::OnEvents(std::uint32_t /*events*/) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    UniqueFd connection(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection.valid()) {
      Adopt(std::move(connection));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) WaitForRoom();
    return;
  }
}

void SocketServer::State::Adopt(UniqueFd connection) {
  auto credentials = net::ReadPeerCredentials(connection.get());
  auto place = credentials ? callers.Admit(*std::move(credentials))
                           : Result<CallerTable::Place>(tl::unexpected(credentials.error()));
  if (place)
    return server->AdoptLocal(std::move(connection),
                              std::make_shared<const CallerConnection>(*std::move(place)));
  rejected.Add();
  if (const auto left_out = refusal_lines.Admit())
    log.Warn("connection refused",
             {{"error", place.error().Message()}, {"not_listed_before", *left_out}});
}

void SocketServer::State::Listen() {
  if (listener.valid() && !loop->Add(listener.get(), EPOLLIN, this)) WaitForRoom();
}

void SocketServer::State::WaitForRoom() {
  rejected.Add();
  log.Error("out of descriptors or memory: connections wait",
            {{"connections", callers.connections()}});
  loop->Remove(listener.get(), this);
  loop->RunAfter(kRetryAfter, [this] { Listen(); });
}

void SocketServer::State::CloseListener() {
  loop->Remove(listener.get(), this);
  listener.Reset();
}

SocketServer::SocketServer(const CallerLimits& limits, const Clock& clock, const Logger& log,
                           Metrics& metrics)
    : state_(std::make_unique<State>(limits, clock, log, metrics)) {}

SocketServer::~SocketServer() {
  StopAccepting();
  Stop();
}

CallerTable& SocketServer::callers() { return state_->callers; }

Status SocketServer::Serve(UniqueFd listener, CallTable& calls) {
  State& state = *state_;
  state.listener = std::move(listener);
  SIGNET_TRY(state.loop, net::EventLoop::Create(state.clock));
  state.server = std::make_unique<net::RpcServer>(calls, LimitsOf(state.callers.limits()));
  state.server->Attach(*state.loop, [](std::uint64_t, net::ConnectionEnd) {});
  state.loop->Post([&state] { state.Listen(); });
  state.thread = std::thread([&state] {
    state.loop->Run();
    state.server->CloseAll();
  });
  return {};
}

void SocketServer::StopAccepting() {
  if (state_->thread.joinable()) state_->loop->Post([this] { state_->CloseListener(); });
}

void SocketServer::Stop() {
  if (!state_->thread.joinable()) return;
  // A caller that never reads would keep its answer waiting for ever: after the grace it is cut.
  state_->server->Drain(kStopGrace);
  state_->loop->Stop();
  state_->thread.join();
}

}  // namespace signet::agent
