#include "net/grpc/rpc_server.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/check.h"
#include "net/grpc/rpc_connection.h"

namespace signet::net {
namespace {

constexpr Duration kSweepEvery = std::chrono::seconds(1);
constexpr std::uint64_t kLocal = std::uint64_t{1} << 63;  // in a connection's id

}  // namespace

struct RpcServer::State {
  State(RpcService& rpc_service, const RpcServerLimits& server_limits)
      : service(rpc_service), limits(server_limits) {}

  void Start(std::uint64_t id, RpcConnection::Origin origin, std::unique_ptr<ByteStream> stream);
  void StartLocal(UniqueFd socket, std::shared_ptr<const RpcPeer> peer);
  void Flush(std::uint64_t id);
  void Remove(std::uint64_t id, ConnectionEnd how);
  void Sweep();
  std::optional<ConnectionEnd> TimeIsUp(std::uint64_t id, const RpcConnection& connection,
                                        WallTime wall) const;
  void TellIfDrained();

  RpcService& service;
  const RpcServerLimits limits;
  EventLoop* loop = nullptr;
  OnEnd on_end;
  std::shared_ptr<RpcMailbox> mailbox;
  std::atomic<std::size_t> all{0}, local{0};

  // The loop's thread only.
  RpcTurn turn{{[this](std::uint64_t id) { Flush(id); },
                [this](std::uint64_t id, ConnectionEnd how) { Remove(id, how); },
                [this] { TellIfDrained(); }}};
  std::shared_ptr<TlsScratch> scratch = std::make_shared<TlsScratch>();
  std::unordered_map<std::uint64_t, std::unique_ptr<RpcConnection>> connections;
  std::uint64_t last_local = 0;
  EventLoop::TimerId sweep = 0;
  bool draining = false;

  std::mutex mutex;
  std::condition_variable changed;
  bool drained = false;
};

void RpcServer::State::Start(std::uint64_t id, RpcConnection::Origin origin,
                             std::unique_ptr<ByteStream> stream) {
  const RpcTurn::Scope scope(turn);
  auto& connection = connections[id];
  connection = std::make_unique<RpcConnection>(
      RpcConnection::Parts{*loop, turn, service, mailbox, limits.calls}, id, std::move(origin),
      std::move(stream));
  ++all;
  if ((id & kLocal) != 0) ++local;
  if (sweep == 0) sweep = loop->RunAfter(kSweepEvery, [this] { Sweep(); });
  connection->Start();
  if (draining) connection->Drain();
}

void RpcServer::State::StartLocal(UniqueFd socket, std::shared_ptr<const RpcPeer> peer) {
  if (draining) return;
  Start(kLocal | ++last_local, {nullptr, std::move(peer), UINT64_MAX},
        OverSocket(std::move(socket)));
}

void RpcServer::State::Flush(std::uint64_t id) {
  const auto found = connections.find(id);
  if (found != connections.end()) found->second->Flush();
}

void RpcServer::State::Remove(std::uint64_t id, ConnectionEnd how) {
  const auto found = connections.find(id);
  if (found == connections.end()) return;
  auto ended = std::move(found->second);
  connections.erase(found);
  ended.reset();
  --all;
  if ((id & kLocal) != 0)
    --local;
  else
    on_end(id, how);
}

std::optional<ConnectionEnd> RpcServer::State::TimeIsUp(std::uint64_t id,
                                                        const RpcConnection& connection,
                                                        WallTime wall) const {
  const SteadyTime now = loop->now();
  const auto& identity = connection.origin().identity;
  if (identity != nullptr) {
    if (limits.cut_at_expiry && wall >= identity->valid_until) return ConnectionEnd::kExpired;
  } else if ((id & kLocal) == 0 && now - connection.started() >= limits.anonymous_limit) {
    return ConnectionEnd::kExpired;
  }
  if (!connection.greeted() && now - connection.started() >= limits.preface_limit)
    return ConnectionEnd::kIdle;
  if (now - connection.last_used() >= limits.idle_limit) return ConnectionEnd::kIdle;
  return std::nullopt;
}

void RpcServer::State::Sweep() {
  sweep = 0;
  const WallTime wall = loop->clock().Now();
  {
    const RpcTurn::Scope scope(turn);
    for (const auto& [id, connection] : connections) {
      if (const auto how = TimeIsUp(id, *connection, wall))
        connection->End(*how);
      else if (connection->calls() == 0 &&
               loop->now() - connection->last_used() >= limits.rest_limit)
        connection->Drain();
      else
        connection->CheckAlive(limits.ping_after, limits.ping_patience);
    }
  }
  if (!connections.empty()) sweep = loop->RunAfter(kSweepEvery, [this] { Sweep(); });
}

void RpcServer::State::TellIfDrained() {
  if (!draining) return;
  for (const auto& [id, connection] : connections)
    if (!connection->at_rest()) return;
  const std::lock_guard lock(mutex);
  drained = true;
  changed.notify_all();
}

RpcServer::RpcServer(RpcService& service, const RpcServerLimits& limits)
    : state_(std::make_unique<State>(service, limits)) {}

RpcServer::~RpcServer() = default;

void RpcServer::Attach(EventLoop& loop, OnEnd on_end) {
  CHECK_TRUE(state_->loop == nullptr);
  state_->loop = &loop;
  state_->on_end = std::move(on_end);
  state_->mailbox = std::make_shared<RpcMailbox>(loop, state_->turn);
  loop.Post([state = state_.get()] { state->mailbox->Open(); });
}

void RpcServer::Adopt(FrontConnection connection) {
  State& state = *state_;
  RpcConnection::Origin origin;
  origin.identity = connection.peer();
  origin.peer = state.service.Meet(origin.identity.get(), connection.remote.ToString());
  if (origin.identity == nullptr) origin.receive_limit = state.limits.anonymous_bytes;
  state.Start(connection.id, std::move(origin),
              OverTls(std::move(connection.stream), state.scratch));
}

std::size_t RpcServer::CutWhere(const std::function<bool(const PeerIdentity&)>& should_cut) {
  const RpcTurn::Scope scope(state_->turn);
  std::size_t count = 0;
  for (const auto& [id, connection] : state_->connections) {
    const auto& identity = connection->origin().identity;
    if (identity == nullptr || !should_cut(*identity)) continue;
    connection->End(ConnectionEnd::kCut);
    ++count;
  }
  return count;
}

void RpcServer::CloseAll() {
  State& state = *state_;
  state.mailbox->Close();
  state.draining = true;
  state.loop->Cancel(state.sweep);
  const auto connections = std::exchange(state.connections, {});
  state.all = state.local = 0;
  const std::lock_guard lock(state.mutex);
  state.drained = true;  // whoever waits in Drain()
  state.changed.notify_all();
}

void RpcServer::AdoptLocal(UniqueFd socket, std::shared_ptr<const RpcPeer> peer) {
  if (state_->mailbox->InLoop()) return state_->StartLocal(std::move(socket), std::move(peer));
  // std::function copies, hence the shared pointer around what moves.
  auto moved = std::make_shared<UniqueFd>(std::move(socket));
  state_->mailbox->Post([state = state_.get(), moved, peer = std::move(peer)] {
    state->StartLocal(std::move(*moved), peer);
  });
}

void RpcServer::Drain(Duration most) {
  State& state = *state_;
  state.mailbox->Post([&state] {
    state.draining = true;
    for (const auto& [id, connection] : state.connections) connection->Drain();
  });
  std::unique_lock lock(state.mutex);
  state.changed.wait_for(lock, most, [&] { return state.drained; });
}

std::size_t RpcServer::connections() const { return state_->all; }
std::size_t RpcServer::local_connections() const { return state_->local; }

}  // namespace signet::net
