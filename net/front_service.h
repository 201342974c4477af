// What serves connections once their handshake is done, in the loop of the front that accepted
// them.
//
// Threads: everything on the loop's thread.
#pragma once

#include <functional>
#include <memory>

#include "net/address.h"
#include "net/event_loop.h"
#include "net/tls.h"

namespace signet::net {

enum class ConnectionEnd {
  kClosed,   // both ends were done
  kBroken,   // the transport failed, ended without close_notify, or the peer broke the protocol
  kExpired,  // the peer's valid_until passed, or an anonymous one's time
  kIdle,     // nothing was said for too long, or a ping not answered
  kCut,      // by CutWhere(), or an anonymous peer sent more than it may
};

// A connection that finished its handshake. The stream's descriptor is not registered.
struct FrontConnection {
  std::uint64_t id = 0;
  std::unique_ptr<TlsStream> stream;
  SocketAddress remote;

  const std::shared_ptr<const PeerIdentity>& peer() const {
    return stream->peer();
  }  // null: anonymous
};

class FrontService {
 public:
  // Told of each adopted connection's end, once, after it is gone.
  using OnEnd = std::function<void(std::uint64_t id, ConnectionEnd how)>;

  virtual ~FrontService() = default;
  // Before everything else, once; the loop lives until CloseAll() has returned.
  virtual void Attach(EventLoop& loop, OnEnd on_end) = 0;
  virtual void Adopt(FrontConnection connection) = 0;
  // Cuts the connections `should_cut` says yes to (anonymous ones are not asked about) and answers
  // how many.
  virtual std::size_t CutWhere(const std::function<bool(const PeerIdentity&)>& should_cut) = 0;
  // The loop is about to end: so do all connections, OnEnd not being told.
  virtual void CloseAll() = 0;
};

}  // namespace signet::net
