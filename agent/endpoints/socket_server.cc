#include "agent/endpoints/socket_server.h"

#include <grpc/grpc.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <semaphore>
#include <thread>

#include "base/log_limit.h"

namespace signet::agent {
namespace {

constexpr int kReapMilliseconds = 500;     // when nobody connects
constexpr unsigned kReapTurns = 256;       // when many do
constexpr int kMaxRequestBytes = 1 << 20;  // an Envoy says all it can do in its first request
constexpr int kMaxStreamsPerConnection = 100;
constexpr auto kStopGrace = std::chrono::milliseconds(500);
constexpr std::uint32_t kRefusalLinesPerSecond = 10;

// Silent peers are asked for a sign of life; those that give none are closed.
void SetConnectionLimits(const CallerLimits& limits, grpc::ServerBuilder* builder) {
  const auto milliseconds = [](auto time) { return static_cast<int>(time.count()); };
  builder->SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(limits.keepalive));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                              milliseconds(limits.keepalive_timeout));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 600'000);
}

}  // namespace

struct SocketServer::State {
  State(const CallerLimits& limits, const Clock& clock, const Logger& logger, Metrics& metrics)
      : stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        log(logger),
        refusal_lines(clock, kRefusalLinesPerSecond),
        callers(limits),
        rejected(metrics.Counter("signet_agent_connections_refused_total",
                                 "Connections to the agent's sockets closed at once")) {}

  void Accept();
  void AcceptOne();

  UniqueFd listener;
  UniqueFd stop;
  const Logger& log;
  LogLimiter refusal_lines;
  CallerTable callers;
  Counter& rejected;
  std::unique_ptr<grpc::Server> server;
  std::thread acceptor;
};

void SocketServer::State::Accept() {
  for (unsigned turn = 1;; ++turn) {
    pollfd polled[] = {{listener.get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
    const int ready = poll(polled, 2, kReapMilliseconds);
    if (polled[1].revents != 0) return;
    if (ready > 0 && polled[0].revents != 0) AcceptOne();
    if (ready <= 0 || turn % kReapTurns == 0) callers.Reap();
  }
}

void SocketServer::State::AcceptOne() {
  UniqueFd connection(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!connection.valid()) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    rejected.Add();
    log.Error("out of descriptors or memory: connections wait",
              {{"connections", callers.connections()}});
    pollfd until_stop{stop.get(), POLLIN, 0};
    poll(&until_stop, 1, 200);
    callers.Reap();
    return;
  }
  auto credentials = net::ReadPeerCredentials(connection.get());
  const Status admitted = credentials ? callers.Admit(connection.get(), std::move(*credentials))
                                      : Status(Fail(credentials.error()));
  if (!admitted) {
    rejected.Add();
    if (const auto left_out = refusal_lines.Admit())
      log.Warn("connection refused",
               {{"error", admitted.error().Message()}, {"not_listed_before", *left_out}});
    return;
  }
  grpc::AddInsecureChannelFromFd(server.get(), connection.Release());
}

SocketServer::SocketServer(const CallerLimits& limits, const Clock& clock, const Logger& log,
                           Metrics& metrics)
    : state_(std::make_unique<State>(limits, clock, log, metrics)) {}

SocketServer::~SocketServer() {
  StopAccepting();
  Stop();
}

CallerTable& SocketServer::callers() { return state_->callers; }

Status SocketServer::Serve(UniqueFd listener, const std::vector<grpc::Service*>& services) {
  state_->listener = std::move(listener);
  // Never undone: gRPC's own end would wait up to ten seconds for its poller of a connection that
  // had to be cut.
  grpc_init();
  grpc::ServerBuilder builder;
  SetConnectionLimits(state_->callers.limits(), &builder);
  for (grpc::Service* service : services) builder.RegisterService(service);
  state_->server = builder.BuildAndStart();
  if (!state_->server) return Fail(Code::kInternal, Reason{"gRPC server does not start"});
  state_->acceptor = std::thread([state = state_.get()] { state->Accept(); });
  return {};
}

void SocketServer::StopAccepting() {
  const std::uint64_t one = 1;
  if (!state_->acceptor.joinable()) return;
  if (write(state_->stop.get(), &one, sizeof one) != sizeof one) return;
  state_->acceptor.join();
  state_->listener.Reset();
}

void SocketServer::Stop() {
  if (!state_->server) return;
  // A caller that never reads keeps a write of gRPC's, and with it the shutdown, waiting for ever:
  // after the grace it is hung up on.
  std::binary_semaphore ended{0};
  std::thread cutter([&] {
    if (!ended.try_acquire_for(2 * kStopGrace)) state_->callers.HangUp();
  });
  state_->server->Shutdown(std::chrono::system_clock::now() + kStopGrace);
  state_->server->Wait();
  ended.release();
  cutter.join();
  state_->server.reset();
}

}  // namespace signet::agent
