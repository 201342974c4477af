// TLS in front of a library that speaks plain bytes (gRPC): accepts, handshakes and verifies in its
// own event loop, then hands over one end of a socketpair whose other end it bridges to the TLS
// connection.
//
// Each direction ends by itself: a close_notify becomes the end of the plain stream and the other
// way round, and the other direction goes on. A connection that breaks, or is cut, closes the plain
// end; towards the peer it ends without close_notify. Closing the plain end ends the connection
// once the peer has ended too, or two seconds after it took what was under way (thirty at most).
//
// Metrics: signet_tls_handshakes_total{result,reason}, signet_tls_connections,
// signet_tls_ends_total{how}, signet_tls_accept_pauses_total{reason}.
//
// Threads: the front runs its own loop thread(s); the sink is called there. Everything public is
// safe from any thread.
#pragma once

#include <functional>
#include <memory>

#include "base/log.h"
#include "base/metrics.h"
#include "net/address.h"
#include "net/event_loop.h"
#include "net/tls.h"

namespace signet::net {

struct TlsFrontLimits {
  std::size_t max_connections = 6000;
  std::size_t max_handshakes = 512;    // in progress; more wait in the accept queue
  std::size_t max_per_address = 4096;  // connections of one remote address
  // Of max_connections, those without a certificate, each for a while only: whoever can connect
  // must not keep out who can prove an identity.
  std::size_t max_anonymous = 1024;
  Duration anonymous_limit = std::chrono::minutes(2);
  // What one of them may send in all: the service behind may buffer it before it knows the caller.
  std::uint64_t anonymous_bytes = 256 * 1024;
  Duration handshake_deadline = std::chrono::seconds(10);
  Duration idle_limit = std::chrono::hours(24);
  // A connection ends within a second of its peer's valid_until: a stream must not outlive the SVID
  // it was opened with.
  bool cut_at_expiry = true;
};

// A connection that finished its handshake. `plain` is a non-blocking, close-on-exec stream socket.
struct FrontConnection {
  std::uint64_t id = 0;
  UniqueFd plain;
  std::shared_ptr<const PeerIdentity> peer;  // null: anonymous
  SocketAddress remote;
};

class TlsFront {
 public:
  // Letting go of `plain` refuses the connection.
  using Sink = std::function<void(FrontConnection)>;
  // Answers the context for the next handshake; called on each accept, so a swap counts at once.
  using ContextSource = std::function<std::shared_ptr<const TlsContext>()>;

  static Result<std::unique_ptr<TlsFront>> Start(UniqueFd listener, ContextSource contexts,
                                                 Sink sink, const TlsFrontLimits& limits,
                                                 const Clock& clock, const Logger& log,
                                                 Metrics& metrics);
  ~TlsFront();

  // Cuts the connections `should_cut` says yes to (anonymous ones are not asked about) and answers
  // how many. It is called in the loop's thread while the caller waits.
  std::size_t CutWhere(const std::function<bool(const PeerIdentity&)>& should_cut);
  std::size_t connections() const;
  // Closes the listener; connections go on.
  void StopAccepting();

 private:
  struct State;
  explicit TlsFront(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The client twin: TLS to a server, plain bytes for the caller. Its loop thread is shared by all
// dials of one TlsDialer.
class TlsDialer {
 public:
  static Result<std::unique_ptr<TlsDialer>> Start(const Clock& clock);
  ~TlsDialer();
  struct Dialed {
    UniqueFd plain;                            // non-blocking, close-on-exec
    std::shared_ptr<const PeerIdentity> peer;  // never null
  };
  // Blocking (connect and handshake) up to `timeout`. Fails with kConnectFailed,
  // kTlsHandshakeFailed, kTlsPeerRefused. The server looks at this end's certificate after that: if
  // it refuses, the plain end is closed soon. The connection is cut within a second of the server's
  // valid_until.
  Result<Dialed> Dial(const Address& address, std::shared_ptr<const TlsContext> context,
                      std::chrono::milliseconds timeout);

 private:
  struct State;
  explicit TlsDialer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
