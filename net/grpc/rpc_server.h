// A gRPC server for one service of calls: behind a TlsFront, in its loop, and on connections of a
// local socket. HTTP/2 is nghttp2's; there is no thread between a caller's socket and its handler.
//
// Threads: as FrontService; what is marked so is safe from any thread.
#pragma once

#include <memory>

#include "net/front_service.h"
#include "net/grpc/rpc_session.h"

namespace signet::net {

struct RpcServerLimits {
  RpcLimits calls;
  Duration anonymous_limit = std::chrono::minutes(2);  // how long who shows no certificate stays
  // What one of them may send in all: it may be kept before the caller is known.
  std::uint64_t anonymous_bytes = 256 * 1024;
  // From the end of the handshake to the end of HTTP/2's preface.
  Duration preface_limit = std::chrono::seconds(30);
  Duration idle_limit = std::chrono::hours(24);    // without a call or a message
  Duration rest_limit = Duration::max();           // with no call open; ends by GOAWAY
  Duration ping_after = std::chrono::seconds(60);  // of silence
  Duration ping_patience = std::chrono::seconds(20);
  // A connection ends within a second of its peer's valid_until: a stream must not outlive the SVID
  // it was opened with.
  bool cut_at_expiry = true;
};

class RpcServer final : public FrontService {
 public:
  // `service` outlives it.
  RpcServer(RpcService& service, const RpcServerLimits& limits);
  ~RpcServer() override;

  // FrontService.
  void Attach(EventLoop& loop, OnEnd on_end) override;
  void Adopt(FrontConnection connection) override;
  std::size_t CutWhere(const std::function<bool(const PeerIdentity&)>& should_cut) override;
  void CloseAll() override;

  // From here on: safe from any thread, after Attach().

  // A connected, non-blocking stream socket that needs no TLS. `peer` is let go with its
  // connection, but for what the service keeps of it.
  void AdoptLocal(UniqueFd socket, std::shared_ptr<const RpcPeer> peer);
  // No more calls: those under way may end, for `most`. Returns when none is left, or after that.
  void Drain(Duration most);
  std::size_t connections() const;
  std::size_t local_connections() const;  // of these, AdoptLocal()'s

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
