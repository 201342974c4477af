#include "proxy/http/upstream_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "proxy/http/http1_client.h"
#include "proxy/http/http_shared.h"

namespace signet::proxy {
namespace {

using net::IoStatus;

constexpr std::uint32_t kAllEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

}  // namespace

UpstreamConnection::UpstreamConnection(UpstreamPool& pool, ConnectionHost& host, Turns& turns,
                                       UpstreamGroupPtr group)
    : pool_(pool),
      host_(host),
      turns_(turns),
      group_(std::move(group)),
      idle_since_(host.parts().loop.now()) {}

UpstreamConnection::~UpstreamConnection() { CHECK_TRUE(phase_ == Phase::kOver); }

// ---- connecting

void UpstreamConnection::Start() {
  Arm(host_.limits().connect_timeout, "connection");
  ConnectNext();
}

void UpstreamConnection::Arm(Duration delay, std::string_view what) {
  host_.parts().loop.Cancel(timer_);
  timer_ = host_.parts().loop.RunAfter(delay, [this, what] {
    timer_ = 0;
    const Turns::Scope turn(turns_);
    Fail(RequestEnd::kUpstreamTimeout,
         fmt::format("no {} to {} in time", what, lane().plan->config.forward.ToString()));
  });
}

void UpstreamConnection::ConnectNext() {
  while (targets_tried_ < lane().plan->targets.size())
    if (TryNextTarget()) return;
  Fail(RequestEnd::kUpstreamUnreachable,
       lane().plan->config.forward.ToString() + ": " + connect_failure_);
}

bool UpstreamConnection::TryNextTarget() {
  const auto& targets = lane().plan->targets;
  const net::SocketAddress& target = targets[group_->lane->next_target++ % targets.size()];
  ++targets_tried_;
  target_ = target;
  UniqueFd socket(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto failed = [&] {
    connect_failure_ = ErrnoText(errno);
    return false;
  };
  if (!socket.valid()) return failed();
  const int on = 1;
  if (target.family() != AF_UNIX)
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto* address = reinterpret_cast<const sockaddr*>(&target.storage);
  const bool stands = ::connect(socket.get(), address, target.length) == 0;
  if (!stands && errno != EINPROGRESS) return failed();
  if (!host_.parts().loop.Add(socket.get(), kAllEvents, this)) return failed();
  fd_ = socket.get();
  connecting_ = std::move(socket);
  if (stands) OnConnectEvents(EPOLLOUT);
  return true;
}

void UpstreamConnection::OnEvents(std::uint32_t events) {
  switch (phase_) {
    case Phase::kConnecting: {
      const Turns::Scope turn(turns_);
      return OnConnectEvents(events);
    }
    case Phase::kHandshaking: {
      const Turns::Scope turn(turns_);
      tls_->OnReady(events);
      return StepHandshake();
    }
    case Phase::kOpen:
      return link_->OnReady(events);
    case Phase::kOver:
      return;
  }
}

void UpstreamConnection::OnConnectEvents(std::uint32_t events) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(connecting_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    connect_failure_ = ErrnoText(error);
    host_.parts().loop.Remove(connecting_.get(), this);
    connecting_.Reset();
    return ConnectNext();
  }
  OnConnected(events);
}

void UpstreamConnection::OnConnected(std::uint32_t events) {
  if (!tls()) {
    plain_.emplace(std::move(connecting_));
    plain_->OnReady(events);
    return Open(*plain_, group_->version == HttpVersion::kHttp2);
  }
  const bool http2 = group_->version == HttpVersion::kHttp2;
  const auto& context = http2 ? lane().http2_context : lane().context;
  if (!context || !host_.identity())
    return Fail(RequestEnd::kUpstreamUnreachable, "this proxy holds no identity");
  phase_ = Phase::kHandshaking;
  Arm(host_.limits().handshake_deadline, "TLS handshake");
  tls_.emplace(
      std::make_unique<net::TlsStream>(context, std::move(connecting_), host_.parts().scratch));
  tls_->OnReady(events);
  StepHandshake();
}

// ---- TLS

void UpstreamConnection::StepHandshake() {
  switch (tls_->tls().Handshake()) {
    case IoStatus::kOk:
      return FinishHandshake();
    case IoStatus::kWantRead:
    case IoStatus::kWantWrite:
      return;
    case IoStatus::kEof:
    case IoStatus::kError:
      lane()
          .cell
          ->handshakes_failed[static_cast<std::size_t>(RefusalOf(tls_->tls().failure_reason()))]
          .Add();
      return Fail(RequestEnd::kUpstreamUnreachable, tls_->tls().error().Message());
  }
}

void UpstreamConnection::FinishHandshake() {
  lane().cell->handshakes_ok.Add();
  peer_ = std::static_pointer_cast<const VerifiedPeer>(tls_->tls().peer());
  if (!peer_) return Fail(RequestEnd::kUpstreamUnreachable, "the peer proved no identity");
  host_.parts().telemetry.series().SeePeer(peer_->name, peer_->valid_until);
  // The handshake may have begun under rules, bundles or an identity that are gone by now.
  DecideAgain();
  if (phase_ == Phase::kHandshaking) Open(*tls_, tls_->tls().alpn() == "h2");
}

void UpstreamConnection::Open(ByteStream& stream, bool http2) {
  host_.parts().loop.Cancel(timer_);
  phase_ = Phase::kOpen;
  if (peer_) age_ = ConnectionAge(Moment(), peer_->valid_until, host_.http().dice.Throw());
  link_.emplace(turns_, stream, static_cast<LinkOwner&>(*this), Link::Role::kClient);
  codec_ = pool_.MakeCodec(link_->out(), *this, {http2, tls()});
  codec_->set_peer(peer_);
  link_->Use(*codec_);
  link_->Wake();  // what came with the event has no edge of its own
  pool_.OnOpen(*this);
}

// ---- decisions and ends

void UpstreamConnection::DecideAgain() {
  if (phase_ == Phase::kOver) return;
  if (lane().removed) return Cut("its listener is no longer configured");
  if (phase_ == Phase::kOpen && LeadsElsewhere()) LetFinish();
  if (!tls() || phase_ == Phase::kOver) return;
  if (!host_.identity()) return Cut("this proxy's identity is gone");
  if (!peer_) return;  // not proven yet
  const WallTime now = host_.parts().clock.Now();
  const Duration grace = phase_ == Phase::kOpen ? host_.limits().expiry_grace : Duration(0);
  const Status trusted = CheckStillTrusted(*peer_, *host_.identity(), now, grace);
  if (!trusted) return Cut(trusted.error().Message());
  if (const identity::Denial* denial = FindDenial(*host_.denials(), *peer_, now))
    return Cut(fmt::format("{} is revoked (denial {})", denial->subject, denial->id));
  const mesh::Decision decision = lane().plan->config.policy.DecideConnection(peer_->id);
  if (!decision.allowed()) Cut(decision.Reason(&peer_->id));
}

bool UpstreamConnection::LeadsElsewhere() const {
  return std::ranges::none_of(lane().plan->targets, [&](const net::SocketAddress& target) {
    return target.length == target_.length &&
           std::memcmp(&target.storage, &target_.storage, target.length) == 0;
  });
}

void UpstreamConnection::LetFinish() {
  codec_->BeginDrain();
  link_->Wake();
}

void UpstreamConnection::LookAtAge() {
  if (phase_ != Phase::kOpen || !tls()) return;
  const AgeTerms terms{lane().plan->config.max_connection_age, host_.limits().drain, true};
  switch (age_.At(terms, Moment())) {
    case ConnectionAge::Due::kNothing:
      return;
    case ConnectionAge::Due::kRetire:
      age_.Retire(host_.parts().loop.now());
      return LetFinish();
    case ConnectionAge::Due::kCut:
      return Cut("max_connection_age of its listener");
  }
}

void UpstreamConnection::Cut(std::string_view why) {
  if (phase_ != Phase::kOver) Fail(RequestEnd::kUpstreamUnreachable, std::string(why));
}

void UpstreamConnection::Close() { End(true, nullptr); }

void UpstreamConnection::OnStreamOver() {
  idle_since_ = host_.parts().loop.now();
  if (phase_ != Phase::kOpen) return;
  link_->Wake();  // its last words, if these were
  pool_.OnRoom(*this);
}

void UpstreamConnection::OnLinkEnd(LinkEnd how) {
  const UpstreamFailure failure{RequestEnd::kUpstreamBroken, "the connection ended"};
  End(how == LinkEnd::kOrderly, &failure);
}

void UpstreamConnection::Fail(RequestEnd end, std::string why) {
  const UpstreamFailure failure{end, std::move(why)};
  End(false, &failure);
}

void UpstreamConnection::End(bool orderly, const UpstreamFailure* failure) {
  if (phase_ == Phase::kOver) return;
  const Turns::Scope turn(turns_);
  const bool was_open = phase_ == Phase::kOpen;
  phase_ = Phase::kOver;
  host_.parts().loop.Cancel(timer_);
  if (fd_ >= 0 && (connecting_.valid() || plain_ || tls_)) {
    host_.parts().loop.Remove(fd_, this);
    if (!orderly) ResetOnClose(fd_);
  }
  if (link_) link_->Stop();
  if (codec_) codec_->OnBroken(StreamFault::kConnection);
  pool_.OnOver(*this, was_open ? nullptr : failure);
}

}  // namespace signet::proxy
