#include "proxy/forward/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "proxy/forward/proxy_header.h"
#include "proxy/http/http_service.h"
#include "proxy/passthrough/passthrough_service.h"

namespace signet::proxy {
namespace {

using net::IoStatus;

// What one direction of one connection may move before others get their turn.
constexpr std::size_t kTurnBytes = 4 * kBufferBytes;
// The wall clock may be set: ends that hang on it are looked at this often.
constexpr Duration kLongestSleep = std::chrono::seconds(30);
constexpr std::uint32_t kAllEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

void SetNoDelay(int fd, int family) {
  const int on = 1;
  if (family != AF_UNIX) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

Connection::Connection(ConnectionHost& host, std::shared_ptr<Lane> lane, net::SocketAddress remote)
    : host_(host),
      lane_(std::move(lane)),
      direction_(lane_->plan->config.direction),
      remote_(remote),
      accepted_at_(host.parts().loop.now()),
      active_at_(accepted_at_) {}

Connection::~Connection() { CHECK_TRUE(phase_ == Phase::kOver); }

void Connection::MoveTo(Phase phase) {
  CHECK_TRUE(MayMove(phase_, phase));
  phase_ = phase;
}

bool Connection::Watch(int fd, net::EventHandler* handler) {
  const Status added = host_.parts().loop.Add(fd, kAllEvents, handler);
  if (!added)
    host_.parts().log.Error("cannot watch a socket", {{"error", added.error().Message()}});
  return added.has_value();
}

void Connection::OnTlsEvents(std::uint32_t events) {
  if (phase_ == Phase::kConnecting && !inbound()) return OnConnectEvents(events);
  if (phase_ == Phase::kOver || !tls_) return;
  if (service_) return service_->OnReady(events);
  tls_->OnReady(events);
  if (phase_ == Phase::kHandshaking) return StepHandshake();
  if (phase_ == Phase::kDetecting && inbound()) return StepDetect();
  if (phase_ != Phase::kRelaying) return;
  // Broken off, and what it sent before waits for a side that takes nothing: nobody would notice.
  if ((events & EPOLLERR) != 0 && to_plain_->pending() > 0) return Cut(Ending::kReset, {});
  Pump();
}

void Connection::OnPlainEvents(std::uint32_t events) {
  if (phase_ == Phase::kConnecting && inbound()) return OnConnectEvents(events);
  if (phase_ == Phase::kOver || !plain_) return;
  if (service_) return service_->OnReady(events);
  plain_->OnReady(events);
  if (phase_ == Phase::kDetecting && !inbound()) return StepDetect();
  if (phase_ != Phase::kRelaying) return;
  if ((events & EPOLLERR) != 0 && to_tls_->pending() > 0) return Cut(Ending::kReset, {});
  Pump();
}

// ---- timers

void Connection::Arm(Duration delay) {
  host_.parts().loop.Cancel(timer_);
  timer_ =
      host_.parts().loop.RunAfter(std::max(delay, Duration(std::chrono::milliseconds(1))), [this] {
        timer_ = 0;
        OnTimer();
      });
}

void Connection::ArmRelayTimer() {
  Duration until = kLongestSleep;
  if (!service_)
    until = std::min(until, active_at_ + host_.limits().idle - host_.parts().loop.now());
  if (peer_) until = std::min<Duration>(until, PeerEnd() - host_.parts().clock.Now());
  Arm(std::min(until, age_.Next(Terms(), Moment())));
}

void Connection::OnTimer() {
  switch (phase_) {
    case Phase::kHandshaking:
      return Refuse(Refusal::kHandshakeTimeout, "the handshake took too long");
    case Phase::kDetecting:
      return OnDetected(FirstBytes::kUndecided);
    case Phase::kConnecting:
      return Refuse(Refusal::kBackendTimeout,
                    "no connection to " + lane_->plan->config.forward.ToString() + " in time");
    case Phase::kRelaying:
      if (peer_ && host_.parts().clock.Now() >= PeerEnd())
        return Cut(Ending::kPeerExpired, "the peer's SVID ended");
      if (!LookAtAge()) return;
      CountBytes();
      if (!service_ && host_.parts().loop.now() - active_at_ >= host_.limits().idle)
        return Cut(Ending::kIdle, {});
      return ArmRelayTimer();
    case Phase::kAccepted:
    case Phase::kOver:
      return;
  }
}

// ---- age

ConnectionAge::Moment Connection::Moment() const {
  return {host_.parts().loop.now(), host_.parts().clock.Now()};
}

AgeTerms Connection::Terms() const {
  const ListenerConfig& config = lane_->plan->config;
  const bool http = service_ && config.protocol != Protocol::kTlsPassthrough;
  // An application's own connection shows no SVID and goes over no wire; what its requests go out
  // by has its age of its own (proxy/http/upstream_connection.h).
  return {http && !inbound() ? Duration(0) : config.max_connection_age, host_.limits().drain, http};
}

void Connection::BeginAge() {
  std::optional<WallTime> svid_end;
  if (peer_) svid_end = peer_->valid_until;
  age_ = ConnectionAge(Moment(), svid_end, host_.http().dice.Throw());
}

bool Connection::LookAtAge() {
  switch (age_.At(Terms(), Moment())) {
    case ConnectionAge::Due::kNothing:
      return true;
    case ConnectionAge::Due::kRetire:
      age_.Retire(host_.parts().loop.now());
      service_->Retire();
      return phase_ != Phase::kOver;
    case ConnectionAge::Due::kCut:
      Cut(Ending::kMaxAge, "max_connection_age of its listener");
      return false;
  }
  return true;
}

// ---- seats

bool Connection::TakeSeat() {
  auto seat = host_.parts().admission.TryEnter(host_.limits().connections);
  if (seat) {
    seat_ = *std::move(seat);
    return true;
  }
  Refuse(Refusal::kConnectionLimit,
         fmt::format("limits.connections = {} are carried already", host_.limits().connections));
  return false;
}

bool Connection::TakePeerSeat() {
  auto seat = host_.parts().admission.TryEnterPeer(peer_->id, host_.limits().per_peer);
  if (seat) {
    peer_seat_ = *std::move(seat);
    return true;
  }
  Refuse(Refusal::kPeerLimit, fmt::format("limits.per_peer = {} of this caller are carried already",
                                          host_.limits().per_peer));
  return false;
}

bool Connection::HasIdentity() {
  const IdentityPtr& own = host_.identity();
  if (!own || !lane_->context) {
    Refuse(Refusal::kNoIdentity, "this proxy holds no identity");
    return false;
  }
  if (own->valid_until > host_.parts().clock.Now()) return true;
  Refuse(Refusal::kNoIdentity, "this proxy's own SVID ended at " + FormatTime(own->valid_until));
  return false;
}

// ---- TLS handshake

void Connection::BeginHandshake(UniqueFd socket) {
  own_ = host_.identity();
  handshake_at_ = host_.parts().clock.SteadyNow();
  const int fd = socket.get();
  MoveTo(Phase::kHandshaking);
  tls_.emplace(
      std::make_unique<net::TlsStream>(lane_->context, std::move(socket), host_.parts().scratch));
  tls_->OnReady(connect_events_);
  // An outbound one was watched while it connected.
  if (inbound() && !Watch(fd, &tls_side_))
    return Refuse(Refusal::kHandshakeFailed, "its socket cannot be watched");
  Arm(host_.limits().handshake_deadline);
  StepHandshake();
}

void Connection::StepHandshake() {
  switch (tls_->tls().Handshake()) {
    case IoStatus::kOk:
      return FinishHandshake();
    case IoStatus::kWantRead:
    case IoStatus::kWantWrite:
      return;
    case IoStatus::kEof:
    case IoStatus::kError:
      return FailHandshake();
  }
}

void Connection::FailHandshake() {
  const Refusal refusal = RefusalOf(tls_->tls().failure_reason());
  lane_->cell->handshakes_failed[static_cast<std::size_t>(refusal)].Add();
  Refuse(refusal, tls_->tls().error().Message());
}

void Connection::FinishHandshake() {
  const Duration took = host_.parts().clock.SteadyNow() - handshake_at_;
  host_.parts()
      .counters.handshake_seconds(direction_)
      .Observe(std::chrono::duration<double>(took).count());
  lane_->cell->handshakes_ok.Add();
  host_.HandshakeOver(*this);
  // SvidVerifier made it: every PeerIdentity here is a VerifiedPeer.
  peer_ = std::static_pointer_cast<const VerifiedPeer>(tls_->tls().peer());
  if (!peer_) return Refuse(Refusal::kNoClientCertificate, "the peer proved no identity");
  host_.parts().telemetry.series().SeePeer(peer_->name, peer_->valid_until);
  // The handshake may have begun under rules, bundles or an identity that are gone by now; the
  // connection is in its host's list, so a change after this line reaches it.
  DecideAgain();
  if (phase_ == Phase::kHandshaking) OnHandshakeDone();
}

void Connection::YieldHandshake(HandshakeQueue::Over over) {
  if (over == HandshakeQueue::Over::kSource)
    return Refuse(Refusal::kHandshakeSourceLimit,
                  fmt::format("the oldest of its address's limits.handshakes_per_address = {} in "
                              "progress gave way",
                              host_.limits().handshakes_per_address));
  Refuse(Refusal::kHandshakeLimit,
         fmt::format("the oldest of limits.handshakes = {} in progress gave way",
                     host_.limits().handshakes));
}

// ---- connecting to the target

void Connection::BeginConnect() {
  MoveTo(Phase::kConnecting);
  if (!lane_->plan->loop.empty()) return Refuse(Refusal::kForwardLoop, lane_->plan->loop);
  if (lane_->plan->targets.empty())
    return Refuse(Refusal::kBackendUnresolved,
                  lane_->plan->config.forward.ToString() + " has no address");
  Arm(host_.limits().connect_timeout);
  ConnectNext();
}

void Connection::ConnectNext() {
  while (targets_tried_ < lane_->plan->targets.size())
    if (TryNextTarget()) return;
  Refuse(Refusal::kBackendUnreachable,
         lane_->plan->config.forward.ToString() + ": " + connect_failure_);
}

bool Connection::TryNextTarget() {
  const auto& targets = lane_->plan->targets;
  const net::SocketAddress& target = targets[lane_->next_target++ % targets.size()];
  ++targets_tried_;
  UniqueFd socket(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    connect_failure_ = ErrnoText(errno);
    return false;
  }
  SetNoDelay(socket.get(), target.family());
  const auto* address = reinterpret_cast<const sockaddr*>(&target.storage);
  const bool stands = ::connect(socket.get(), address, target.length) == 0;
  if (!stands && errno != EINPROGRESS) {
    connect_failure_ = ErrnoText(errno);
    return false;
  }
  if (!Watch(socket.get(), connect_side())) return false;
  connecting_ = std::move(socket);
  if (stands) OnConnectEvents(0);
  return true;
}

void Connection::OnConnectEvents(std::uint32_t events) {
  connect_events_ = events;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(connecting_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    connect_failure_ = ErrnoText(error);
    host_.parts().loop.Remove(connecting_.get(), connect_side());
    connecting_.Reset();
    return ConnectNext();
  }
  // While it connected, the identity may have ended.
  if (!inbound() && !HasIdentity()) return;
  OnConnected(std::move(connecting_));
}

bool Connection::HoldPlain(UniqueFd socket) {
  plain_.emplace(std::move(socket));
  plain_->OnReady(connect_events_);
  if (inbound() || Watch(plain_->fd(), &plain_side_)) return true;
  Refuse(Refusal::kBackendUnreachable, "its socket cannot be watched");
  return false;
}

bool Connection::HoldCaller(UniqueFd socket) {
  plain_.emplace(std::move(socket));
  if (Watch(plain_->fd(), &plain_side_)) return true;
  Refuse(Refusal::kHandshakeFailed, "its socket cannot be watched");
  return false;
}

bool Connection::IntroducePeer() {
  if (!lane_->plan->config.proxy_protocol) return true;
  // What cannot be asked is left out of the header.
  const auto local = net::LocalAddress(tls_->fd());
  const Bytes header = MakeProxyHeader(remote_, local.value_or(net::SocketAddress()), peer_->name);
  // It fits any new socket's buffer.
  const net::IoResult written = plain_->Write(header);
  if (written.status == IoStatus::kOk && written.bytes == header.size()) return true;
  Refuse(Refusal::kBackendUnreachable, "it does not take the PROXY protocol header");
  return false;
}

// ---- carrying bytes

void Connection::BeginRelay() {
  MoveTo(Phase::kRelaying);
  to_plain_.emplace(tls_bytes(), plain_bytes(), host_.parts().buffers);
  to_tls_.emplace(plain_bytes(), tls_bytes(), host_.parts().buffers);
  CountOpened();
  BeginAge();
  active_at_ = host_.parts().loop.now();
  ArmRelayTimer();
  Pump();
}

void Connection::BeginService() {
  MoveTo(Phase::kRelaying);
  HttpCaller caller{lane_, peer_, own_, remote_, tls_ ? tls_->tls().alpn() : std::string()};
  ByteStream& stream = tls_ ? tls_bytes() : plain_bytes();
  service_ = std::make_unique<HttpService>(host_, static_cast<ServiceOwner&>(*this), stream,
                                           std::move(caller));
  CountOpened();
  BeginAge();
  ArmRelayTimer();
  service_->Start();
}

void Connection::BeginPassthrough() {
  MoveTo(Phase::kRelaying);
  service_ = std::make_unique<PassthroughService>(host_, static_cast<ServiceOwner&>(*this), *plain_,
                                                  lane_, remote_);
  service_->Start();
}

void Connection::CountOpened() {
  opened_ = true;
  lane_->cell->opened.Add();
}

bool Connection::OnServiceOpening() {
  host_.HandshakeOver(*this);
  if (!TakeSeat()) return false;
  CountOpened();
  BeginAge();
  ArmRelayTimer();
  return true;
}

void Connection::OnServiceEnd(Ending ending, bool orderly, std::string_view detail) {
  if (!orderly) return Cut(ending, detail);
  if (ending == Ending::kFinished && age_.retired()) ending = Ending::kMaxAge;
  CountBytes();
  lane_->cell->closed[static_cast<std::size_t>(ending)].Add();
  LogEnded(host_.parts().log, Facts(), ending, detail);
  Tell(RecordKind::kConnection, EndingName(ending), detail);
  End(true);
}

void Connection::BeginDrain() {
  if (phase_ == Phase::kRelaying && service_) service_->BeginDrain();
}

void Connection::Continue() {
  if (phase_ != Phase::kRelaying) return;
  if (service_)
    service_->Continue();
  else
    Pump();
}

std::uint64_t Connection::received() const {
  if (service_) return service_->received();
  return inbound() ? to_plain_->bytes() : to_tls_->bytes();
}

std::uint64_t Connection::sent() const {
  if (service_) return service_->sent();
  return inbound() ? to_tls_->bytes() : to_plain_->bytes();
}

void Connection::Pump() {
  std::size_t plain_budget = kTurnBytes;
  std::size_t tls_budget = kTurnBytes;
  const FlowStop plain_stop = to_plain_->Pump(&plain_budget);
  const FlowStop tls_stop = to_tls_->Pump(&tls_budget);
  CountBytes();
  const auto source_is_gone = [](const Flow& flow) { return flow.ended() && flow.source_broke(); };
  if (source_is_gone(*to_plain_) || source_is_gone(*to_tls_)) return Cut(Ending::kReset, {});
  if (to_plain_->ended() && to_tls_->ended()) {
    const bool orderly =
        to_plain_->state() == FlowState::kClosed && to_tls_->state() == FlowState::kClosed;
    if (!orderly) return Cut(Ending::kReset, {});
    lane_->cell->closed[static_cast<std::size_t>(Ending::kFinished)].Add();
    LogEnded(host_.parts().log, Facts(), Ending::kFinished, {});
    Tell(RecordKind::kConnection, EndingName(Ending::kFinished), {});
    return End(true);
  }
  if (plain_stop == FlowStop::kBudget || tls_stop == FlowStop::kBudget) host_.Requeue(*this);
}

void Connection::CountBytes() {
  const std::uint64_t now_received = received();
  const std::uint64_t now_sent = sent();
  if (now_received == counted_received_ && now_sent == counted_sent_) return;
  lane_->cell->received_bytes.Add(now_received - counted_received_);
  lane_->cell->sent_bytes.Add(now_sent - counted_sent_);
  counted_received_ = now_received;
  counted_sent_ = now_sent;
  active_at_ = host_.parts().loop.now();
}

// ---- decisions and ends

mesh::Decision Connection::Decide() const {
  const ListenerConfig& config = lane_->plan->config;
  if (!inbound()) return config.policy.DecideConnection(peer_->id);
  return config.policy.DecideConnection(
      peer_->id,
      mesh::IpAddress::FromSockaddr(reinterpret_cast<const sockaddr*>(&remote_.storage),
                                    remote_.length),
      config.listen.port);
}

void Connection::DecideAgain() {
  if (phase_ == Phase::kOver) return;
  if (lane_->removed)
    return CutOrRefuse(Ending::kListenerRemoved, Refusal::kShuttingDown,
                       "its listener is no longer configured");
  // Nobody's identity is proved there, nor shown.
  if (lane_->plan->config.protocol == Protocol::kTlsPassthrough) {
    if (service_) service_->DecideAgain();
    return;
  }
  if (!host_.identity())
    return CutOrRefuse(Ending::kIdentityLost, Refusal::kNoIdentity,
                       "this proxy's identity is gone");
  if (!peer_) return;  // not proven yet: judged when the handshake is done
  const WallTime now = host_.parts().clock.Now();
  const Status trusted = CheckStillTrusted(*peer_, *host_.identity(), now, PeerGrace());
  if (!trusted) {
    const Refusal refusal = RefusalOf(trusted.error().reason);
    const bool expired = refusal == Refusal::kCertificateExpired;
    return CutOrRefuse(expired ? Ending::kPeerExpired : Ending::kTrustChanged, refusal,
                       trusted.error().Message());
  }
  if (const identity::Denial* denial = FindDenial(*host_.denials(), *peer_, now))
    return CutOrRefuse(Ending::kRevoked, Refusal::kRevoked,
                       fmt::format("{} is revoked (denial {})", denial->subject, denial->id));
  DecideByRules();
}

void Connection::DecideByRules() {
  const bool carries_bytes =
      (phase_ == Phase::kConnecting || phase_ == Phase::kRelaying) && !service_;
  if (TakesOnlyHttp() && carries_bytes)
    return CutOrRefuse(Ending::kPolicyChanged, Refusal::kNotHttp,
                       "its listener takes only HTTP now, and this is not known to be any");
  // Requests are decided one by one, not their connection.
  if (inbound() && (service_ || TakesOnlyHttp())) {
    if (service_) service_->DecideAgain();
    return;
  }
  const mesh::Decision decision = Decide();
  if (!decision.allowed())
    CutOrRefuse(
        Ending::kPolicyChanged, inbound() ? Refusal::kNotAllowed : Refusal::kUnexpectedPeer,
        fmt::format("{} ({})", decision.Reason(&peer_->id), lane_->plan->config.policy_place));
}

void Connection::CutOrRefuse(Ending ending, Refusal refusal, std::string_view why) {
  if (phase_ == Phase::kOver) return;
  if (opened_)
    Cut(ending, why);
  else
    Refuse(refusal, why);
}

void Connection::Refuse(Refusal refusal, std::string_view why) {
  lane_->cell->refused[static_cast<std::size_t>(refusal)].Add();
  if (const auto left_out = host_.refusal_lines().Admit()) {
    if (*left_out > 0)
      host_.parts().log.Warn("more connections were refused, not listed", {{"count", *left_out}});
    LogRefused(host_.parts().log, Facts(), refusal, why, lane_->plan->config.policy_place);
  }
  Tell(RecordKind::kRefusal, RefusalName(refusal), why);
  End(false);
}

void Connection::Cut(Ending ending, std::string_view detail) {
  CountBytes();
  lane_->cell->closed[static_cast<std::size_t>(ending)].Add();
  LogEnded(host_.parts().log, Facts(), ending, detail);
  Tell(RecordKind::kConnection, EndingName(ending), detail);
  End(false);
}

void Connection::End(bool orderly) {
  MoveTo(Phase::kOver);
  net::EventLoop& loop = host_.parts().loop;
  loop.Cancel(timer_);
  if (service_) service_->Abandon();
  to_plain_.reset();
  to_tls_.reset();
  const auto drop = [&](int fd, net::EventHandler* handler) {
    loop.Remove(fd, handler);
    if (!orderly) ResetOnClose(fd);
  };
  if (connecting_.valid()) drop(connecting_.get(), connect_side());
  if (plain_) drop(plain_->fd(), &plain_side_);
  if (tls_) drop(tls_->fd(), &tls_side_);
  connecting_.Reset();
  // A service may be in the middle of a call on them: they go with this connection then.
  if (!service_) {
    plain_.reset();
    tls_.reset();
  }
  host_.Remove(*this);
}

}  // namespace signet::proxy
