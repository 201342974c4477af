#include "agent/endpoints/workload_server.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <semaphore>
#include <thread>

#include "agent/endpoints/workload_service.h"

namespace signet::agent {
namespace {

constexpr int kReapMilliseconds = 500;       // when nobody connects
constexpr unsigned kReapTurns = 256;         // when many do
constexpr int kMaxRequestBytes = 64 * 1024;  // requests are empty, tokens to validate come later
constexpr int kMaxStreamsPerConnection = 100;
constexpr auto kStopGrace = std::chrono::milliseconds(500);
constexpr std::uint32_t kRefusalLinesPerSecond = 10;

// Silent peers are asked for a sign of life; those that give none are closed.
void SetConnectionLimits(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 600'000);
}

}  // namespace

struct WorkloadServer::State {
  State(UniqueFd listening, WorkloadServerParts given, const CallerLimits& limits)
      : listener(std::move(listening)),
        stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        parts(std::move(given)),
        refusal_lines(parts.clock, kRefusalLinesPerSecond),
        refusals(parts.metrics),
        callers(limits),
        streams{parts.cache,    hub,
                parts.interest, parts.clock,
                parts.want,     [this](const grpc::Status& status) { refusals.Count(status); }},
        service(streams, callers, pool, parts.attest, parts.log, parts.metrics, refusals),
        rejected(parts.metrics.Counter("signet_agent_connections_refused_total",
                                       "Connections to the public socket closed at once")) {}

  void Accept();
  void AcceptOne();

  UniqueFd listener;
  UniqueFd stop;
  const WorkloadServerParts parts;
  LogLimiter refusal_lines;
  RefusalCounters refusals;
  CallerTable callers;
  StreamHub hub;
  AttestationPool pool;
  StreamContext streams;
  WorkloadService service;
  Counter& rejected;
  std::unique_ptr<grpc::Server> server;
  std::thread acceptor;
};

void WorkloadServer::State::Accept() {
  for (unsigned turn = 1;; ++turn) {
    pollfd polled[] = {{listener.get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
    const int ready = poll(polled, 2, kReapMilliseconds);
    if (polled[1].revents != 0) return;
    if (ready > 0 && polled[0].revents != 0) AcceptOne();
    if (ready <= 0 || turn % kReapTurns == 0) callers.Reap();
  }
}

void WorkloadServer::State::AcceptOne() {
  UniqueFd connection(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!connection.valid()) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    rejected.Add();
    parts.log.Error("out of descriptors or memory: connections wait",
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
      parts.log.Warn("connection refused",
                     {{"error", admitted.error().Message()}, {"not_listed_before", *left_out}});
    return;
  }
  grpc::AddInsecureChannelFromFd(server.get(), connection.Release());
}

WorkloadServer::WorkloadServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<WorkloadServer>> WorkloadServer::Start(UniqueFd listener,
                                                              WorkloadServerParts parts,
                                                              const CallerLimits& limits) {
  auto state = std::make_unique<State>(std::move(listener), std::move(parts), limits);
  // Never undone: gRPC's own end would wait up to ten seconds for its poller of a connection that
  // had to be cut.
  grpc_init();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  SetConnectionLimits(&builder);
  builder.RegisterService(&state->service);
  state->server = builder.BuildAndStart();
  if (!state->server) return Fail(Code::kInternal, Reason{"gRPC server does not start"});
  CallerTable& callers = state->callers;
  state->parts.metrics.GaugeFrom("signet_agent_workload_connections",
                                 "Open connections to the public socket",
                                 [&callers] { return static_cast<double>(callers.connections()); });
  state->parts.metrics.GaugeFrom("signet_agent_workload_streams",
                                 "Open streams of the Workload API",
                                 [&callers] { return static_cast<double>(callers.streams()); });
  State* const raw = state.get();
  state->acceptor = std::thread([raw] { raw->Accept(); });
  return std::unique_ptr<WorkloadServer>(new WorkloadServer(std::move(state)));
}

WorkloadServer::~WorkloadServer() { Stop(); }

void WorkloadServer::Wake() { state_->hub.Wake(); }

void WorkloadServer::SetServing(bool serving) {
  state_->server->GetHealthCheckService()->SetServingStatus(serving);
}

void WorkloadServer::Stop() {
  const std::uint64_t one = 1;
  if (!state_->acceptor.joinable()) return;
  if (write(state_->stop.get(), &one, sizeof one) != sizeof one) return;
  state_->acceptor.join();
  state_->listener.Reset();
  state_->pool.Stop();
  state_->hub.Stop();
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
}

}  // namespace signet::agent
