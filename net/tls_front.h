// TLS in front of a service: accepts, handshakes and verifies in its own event loop, and gives what
// was proved to the service, which serves it in the same loop.
//
// Metrics: signet_tls_handshakes_total{result,reason}, signet_tls_connections,
// signet_tls_ends_total{how}, signet_tls_accept_pauses_total{reason}.
//
// Threads: the front runs its own loop thread; the service is called there. Everything public is
// safe from any thread.
#pragma once

#include <functional>
#include <memory>

#include "base/log.h"
#include "base/metrics.h"
#include "net/address.h"
#include "net/front_service.h"

namespace signet::net {

struct TlsFrontLimits {
  std::size_t max_connections = 6000;
  std::size_t max_handshakes = 512;    // in progress; more wait in the accept queue
  std::size_t max_per_address = 4096;  // connections of one remote address
  // Of max_connections, those without a certificate: whoever can connect must not keep out who can
  // prove an identity.
  std::size_t max_anonymous = 1024;
  Duration handshake_deadline = std::chrono::seconds(10);
};

class TlsFront {
 public:
  // Answers the context for the next handshake; called on each accept, so a swap counts at once.
  using ContextSource = std::function<std::shared_ptr<const TlsContext>()>;

  // `service` outlives the front.
  static Result<std::unique_ptr<TlsFront>> Start(UniqueFd listener, ContextSource contexts,
                                                 FrontService& service,
                                                 const TlsFrontLimits& limits, const Clock& clock,
                                                 const Logger& log, Metrics& metrics);
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

// TLS to a server for a caller that speaks plain bytes (a gRPC channel): hands over one end of a
// socketpair whose other end it bridges to the TLS connection, in a loop of its own that all dials
// share.
//
// Each direction ends by itself: a close_notify becomes the end of the plain stream and the other
// way round, and the other direction goes on. A connection that breaks, or is cut, closes the plain
// end; towards the peer it ends without close_notify. Closing the plain end ends the connection
// once the peer has ended too, or two seconds after it took what was under way (thirty at most).
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
