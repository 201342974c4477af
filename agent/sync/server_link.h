// The agent's connection to its server: TLS outside, a gRPC channel on the plain end. A channel
// over a descriptor lives for one connection; whoever finds it broken drops it, and the sync
// worker, the only one who dials, makes the next one with the agent SVID of that moment.
//
// Threads: safe from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "agent/attest/node_state.h"
#include "agent/attest/trust.h"
#include "net/address.h"
#include "net/tls.h"

namespace grpc {
class Channel;
}

namespace signet::net {
class TlsDialer;
}

namespace signet::agent {

inline constexpr std::chrono::seconds kDialTimeout{10};
inline constexpr std::chrono::seconds kCallTimeout{30};

class ServerDialer {
 public:
  virtual ~ServerDialer() = default;
  struct Dialed {
    UniqueFd plain;        // non-blocking
    WallTime valid_until;  // of the server's certificate
  };
  // Blocking, bounded. A null identity dials anonymously.
  virtual Result<Dialed> Dial(const NodeIdentity* identity,
                              std::shared_ptr<const net::PeerVerifier> verifier) = 0;
};

class TlsServerDialer final : public ServerDialer {
 public:
  TlsServerDialer(net::TlsDialer& dialer, net::Address server)
      : dialer_(dialer), server_(std::move(server)) {}
  Result<Dialed> Dial(const NodeIdentity* identity,
                      std::shared_ptr<const net::PeerVerifier> verifier) override;

 private:
  net::TlsDialer& dialer_;
  const net::Address server_;
};

struct Connection {
  std::shared_ptr<grpc::Channel> channel;
  WallTime valid_until;  // of the server's certificate: do not use the connection longer
};
using ConnectionPtr = std::shared_ptr<const Connection>;

class ServerLink {
 public:
  ServerLink(ServerDialer& dialer, const NodeState& state, const Clock& clock)
      : dialer_(dialer), state_(state), clock_(clock) {}

  // Dials with the node's SVID, checks the server against the node's bundle, and makes the result
  // the current connection.
  Result<ConnectionPtr> Connect();
  // Null while the server is away.
  ConnectionPtr current() const;
  // The same, but a connection that is being made (at the start, or anew with a renewed SVID) is
  // waited for. Null: the server could not be reached just now, `patience` is over, or Stop().
  ConnectionPtr Await(Duration patience) const;
  void Stop();
  // Forgets `connection` if it is the current one; calls in progress go on. Then calls the
  // listener.
  void Drop(const ConnectionPtr& connection);
  // Forgets whichever is current, for instance as the SVID was renewed.
  void DropCurrent() { Drop(current()); }
  // Before other threads use the link.
  void OnDrop(std::function<void()> listener) { on_drop_ = std::move(listener); }

  // Connections of their own, without an SVID.
  Result<ConnectionPtr> ConnectAnonymously(const identity::Bundle& trust);
  Result<ConnectionPtr> ConnectUnverified();

 private:
  Result<ConnectionPtr> Dial(const NodeIdentity* identity,
                             std::shared_ptr<const net::PeerVerifier> verifier);

  ServerDialer& dialer_;
  const NodeState& state_;
  const Clock& clock_;
  std::function<void()> on_drop_;
  mutable std::mutex mutex_;
  mutable std::condition_variable settled_;
  ConnectionPtr current_;
  bool away_ = false;  // the last attempt to connect failed
  bool stopping_ = false;
};

}  // namespace signet::agent
