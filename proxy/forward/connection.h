// One carried connection: a TLS side and a plain side, what comes before bytes may flow (inbound
// and outbound differ in that), the flows between them, and its end. A connection is decided again
// whenever rules, bundles or the identity change.
//
// Threads: one worker's. Ownership: by its host, which destroys it some time after Remove().
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "net/event_loop.h"
#include "proxy/detect/first_bytes.h"
#include "proxy/forward/connection_age.h"
#include "proxy/forward/connection_host.h"
#include "proxy/forward/flow.h"
#include "proxy/forward/handshake_queue.h"
#include "proxy/forward/service.h"
#include "proxy/telemetry/connection_log.h"

namespace signet::proxy {

enum class Phase { kAccepted, kHandshaking, kDetecting, kConnecting, kRelaying, kOver };

// Inbound: accepted, handshaking, connecting, relaying. Outbound: accepted, connecting,
// handshaking, relaying. With a service there is nothing to connect to. Where the protocol is found
// out, that comes first (outbound) or after the handshake (inbound).
constexpr bool MayMove(Phase from, Phase to) {
  if (from == Phase::kOver) return false;
  if (to == Phase::kOver) return true;
  switch (from) {
    case Phase::kAccepted:
      return to != Phase::kAccepted;
    case Phase::kHandshaking:
      return to == Phase::kDetecting || to == Phase::kConnecting || to == Phase::kRelaying;
    case Phase::kDetecting:
      return to == Phase::kConnecting || to == Phase::kRelaying;
    case Phase::kConnecting:
      return to == Phase::kHandshaking || to == Phase::kRelaying;
    case Phase::kRelaying:
    case Phase::kOver:
      return false;
  }
  return false;
}

class Connection : private ServiceOwner {
 public:
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  virtual void Start() = 0;
  // After a reload, or a change of identity, bundles or denials.
  void DecideAgain();
  // Takes up what the last turn's budget cut short.
  void Continue();
  // The listener is closed: finish what is in progress where the protocol says how.
  void BeginDrain();
  // For the host: give way to a newer handshake; end at once.
  void YieldHandshake(HandshakeQueue::Over over);
  void CutOrRefuse(Ending ending, Refusal refusal, std::string_view why);
  Phase phase() const { return phase_; }
  // For people.
  LiveConnection Describe() const;

  // For the host's lists only.
  struct Place {
    std::list<std::unique_ptr<Connection>>::iterator all;
    HandshakeQueue::Place handshake;
    bool queued = false;
  } place;

 protected:
  Connection(ConnectionHost& host, std::shared_ptr<Lane> lane, net::SocketAddress remote);

  // The TLS handshake is done, and the peer verified and still trusted.
  virtual void OnHandshakeDone() = 0;
  // The socket to the target stands.
  virtual void OnConnected(UniqueFd socket) = 0;

  // The steps, in the order a direction wants them. Each may end the connection; those that answer
  // a bool answer false when they did.
  bool HasIdentity();
  bool TakeSeat();
  bool TakePeerSeat();
  bool HoldPlain(UniqueFd socket);
  // The plain side is the caller's, and there is no other one here.
  bool HoldCaller(UniqueFd socket);
  // Sends the backend who calls, when the listener says so.
  bool IntroducePeer();
  void BeginHandshake(UniqueFd socket);
  void BeginConnect();
  void BeginRelay();
  // Finds out what the side that was accepted speaks, and goes on with that.
  void BeginDetect();
  // Carries a protocol instead of bytes, over the side that was accepted.
  void BeginService();
  // Passes foreign TLS on by its server name.
  void BeginPassthrough();
  void Refuse(Refusal refusal, std::string_view why);

  // What the listener's rules, as they are now, say of the peer.
  mesh::Decision Decide() const;
  bool inbound() const { return direction_ == Direction::kInbound; }
  const Lane& lane() const { return *lane_; }

 private:
  // The event loop calls one object a descriptor; these tell the connection which it was.
  class TlsSide final : public net::EventHandler {
   public:
    explicit TlsSide(Connection& owner) : owner_(owner) {}
    void OnEvents(std::uint32_t events) override { owner_.OnTlsEvents(events); }

   private:
    Connection& owner_;
  };
  class PlainSide final : public net::EventHandler {
   public:
    explicit PlainSide(Connection& owner) : owner_(owner) {}
    void OnEvents(std::uint32_t events) override { owner_.OnPlainEvents(events); }

   private:
    Connection& owner_;
  };

  void MoveTo(Phase phase);
  bool Watch(int fd, net::EventHandler* handler);
  void OnTlsEvents(std::uint32_t events);
  void OnPlainEvents(std::uint32_t events);
  void OnConnectEvents(std::uint32_t events);
  void OnTimer();
  void Arm(Duration delay);
  void ArmRelayTimer();
  // Ends what the listener's rules, as they are now, no longer allow: the connection, or each of
  // the requests it carries.
  void DecideByRules();
  // When the peer's SVID no longer carries this connection.
  WallTime PeerEnd() const { return peer_->valid_until + PeerGrace(); }
  Duration PeerGrace() const {
    return phase_ == Phase::kRelaying ? host_.limits().expiry_grace : Duration(0);
  }
  // What max_connection_age and the like come to for what is carried here.
  AgeTerms Terms() const;
  ConnectionAge::Moment Moment() const;
  void BeginAge();
  // False when it ended by its age.
  bool LookAtAge();
  void StepHandshake();
  void FailHandshake();
  void FinishHandshake();
  // False when no target is left.
  bool TryNextTarget();
  void ConnectNext();
  net::EventHandler* connect_side() {
    return inbound() ? static_cast<net::EventHandler*>(&plain_side_) : &tls_side_;
  }
  void StepDetect();
  void OnDetected(FirstBytes spoken);
  // As its listener is configured now, it carries HTTP and nothing else.
  bool TakesOnlyHttp() const;
  // The two sides as their bytes are read: what was looked at comes first.
  ByteStream& tls_bytes() { return held_ && inbound() ? static_cast<ByteStream&>(*held_) : *tls_; }
  ByteStream& plain_bytes() {
    return held_ && !inbound() ? static_cast<ByteStream&>(*held_) : *plain_;
  }
  void Pump();
  void CountBytes();
  void CountOpened();
  void OnServiceEnd(Ending ending, bool orderly, std::string_view detail) override;
  bool OnServiceOpening() override;
  void OnServiceRefused(Refusal refusal, std::string_view why) override { Refuse(refusal, why); }
  void RequeueService() override { host_.Requeue(*this); }
  void Cut(Ending ending, std::string_view detail);
  void End(bool orderly);
  ConnectionFacts Facts() const;
  // One record of its end. `end`: a word of a closed set.
  void Tell(RecordKind kind, std::string_view end, std::string_view detail);
  bool carries() const { return service_ != nullptr || to_plain_.has_value(); }
  std::uint64_t received() const;
  std::uint64_t sent() const;

  ConnectionHost& host_;
  const std::shared_ptr<Lane> lane_;
  const Direction direction_;
  const net::SocketAddress remote_;
  const SteadyTime accepted_at_;
  SteadyTime handshake_at_;
  SteadyTime active_at_;  // when a byte last moved
  Phase phase_ = Phase::kAccepted;
  bool opened_ = false;  // it carries, or did
  ConnectionAge age_;    // since it carries
  net::EventLoop::TimerId timer_ = 0;
  Admission::Seat seat_;
  Admission::PeerSeat peer_seat_;
  VerifiedPeerPtr peer_;
  IdentityPtr own_;  // what this end showed
  TlsSide tls_side_{*this};
  PlainSide plain_side_{*this};

  UniqueFd connecting_;  // while connecting: watched by connect_side()
  // The edge that said it stands: data and an end that came with it are not announced again.
  std::uint32_t connect_events_ = 0;
  std::size_t targets_tried_ = 0;
  std::string connect_failure_;

  std::optional<PlainStream> plain_;
  std::optional<TlsByteStream> tls_;
  std::optional<HeldStream> held_;  // of the accepted side, where the protocol was found out
  std::optional<Flow> to_plain_;
  std::optional<Flow> to_tls_;
  std::unique_ptr<Service> service_;
  std::uint64_t counted_received_ = 0;
  std::uint64_t counted_sent_ = 0;
};

}  // namespace signet::proxy
