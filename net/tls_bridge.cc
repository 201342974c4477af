#include "net/tls_bridge.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace signet::net {
namespace {

constexpr Reason kPlainPairFailed{"cannot make a socket pair"};
constexpr int kStepsPerTurn = 16;
constexpr std::uint32_t kEdges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::uint32_t kEndEvents = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr Duration kLinger = std::chrono::seconds(2);
constexpr Duration kDrain = std::chrono::seconds(30);
constexpr Duration kSweepEvery = std::chrono::seconds(1);

}  // namespace

BufferPool::Buffer BufferPool::Take() {
  if (free_.empty()) return Buffer(new std::uint8_t[kSize]);
  Buffer buffer = std::move(free_.back());
  free_.pop_back();
  return buffer;
}

void BufferPool::Return(Buffer buffer) {
  if (buffer != nullptr && free_.size() < kKept) free_.push_back(std::move(buffer));
}

TlsBridge::TlsBridge(EventLoop& loop, BufferPool& pool, std::unique_ptr<TlsStream> stream,
                     UniqueFd plain, std::function<void()> on_end)
    : loop_(loop),
      pool_(pool),
      stream_(std::move(stream)),
      plain_(std::move(plain)),
      on_end_(std::move(on_end)) {}

TlsBridge::~TlsBridge() {
  loop_.Remove(stream_->fd(), &tls_side_);
  loop_.Remove(plain_.get(), &plain_side_);
  loop_.Cancel(again_);
  loop_.Cancel(linger_);
  pool_.Return(std::move(to_plain_.buffer));
  pool_.Return(std::move(to_tls_.buffer));
}

void TlsBridge::Start() {
  if (!loop_.Add(stream_->fd(), kEdges, &tls_side_) ||
      !loop_.Add(plain_.get(), kEdges, &plain_side_))
    return End();
  stream_->TakeShortReadForEmpty(true);
  Pump();
}

void TlsBridge::OnSide(bool is_tls, std::uint32_t events) {
  Side& side = is_tls ? tls_side_ : plain_side_;
  if ((events & kEndEvents) != 0 && !side.hung_up) {
    side.hung_up = true;
    if (is_tls) stream_->TakeShortReadForEmpty(false);
  }
  if ((events & (EPOLLIN | kEndEvents)) != 0) side.readable = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) side.writable = true;
  // A Unix socket says HUP when its other end is closed for good: nobody will read what comes.
  if (!is_tls && (events & (EPOLLHUP | EPOLLERR)) != 0) to_plain_.sink_gone = true;
  Pump();
}

// Moves bytes both ways until both wait, or until this turn's budget is spent: then the other
// descriptors come first.
void TlsBridge::Pump() {
  Step to_plain = Step::kGoOn, to_tls = Step::kGoOn;
  for (int i = 0; i < kStepsPerTurn && (to_plain == Step::kGoOn || to_tls == Step::kGoOn); ++i) {
    if (to_tls == Step::kGoOn) to_tls = StepToTls();
    if (to_plain == Step::kGoOn) to_plain = StepToPlain();
    if (to_plain == Step::kBroken) return End();
  }
  ReturnEmptyBuffers();
  if (ReachedEnd()) return End();
  if ((to_plain == Step::kGoOn || to_tls == Step::kGoOn) && again_ == 0)
    again_ = loop_.RunAfter(Duration::zero(), [this] {
      again_ = 0;
      Pump();
    });
}

TlsBridge::Step TlsBridge::StepToPlain() {
  Lane& lane = to_plain_;
  if (lane.sink_gone) lane.at = lane.end;
  if (!lane.empty()) {
    if (!plain_side_.writable) return Step::kWait;
    const ssize_t put =
        send(plain_.get(), lane.buffer.get() + lane.at, lane.end - lane.at, MSG_NOSIGNAL);
    if (put > 0) {
      lane.at += static_cast<std::size_t>(put);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      plain_side_.writable = false;
      return Step::kWait;
    } else if (errno != EINTR) {
      lane.sink_gone = true;
    }
    return Step::kGoOn;
  }
  if (lane.source_ended) {
    if (!lane.finished) shutdown(plain_.get(), SHUT_WR);
    lane.finished = true;
    return Step::kWait;
  }
  if (!tls_side_.readable) return Step::kWait;
  if (lane.buffer == nullptr) lane.buffer = pool_.Take();
  const IoResult result = stream_->Read({lane.buffer.get(), BufferPool::kSize});
  lane.at = 0;
  lane.end = result.bytes;
  if (result.status == IoStatus::kError) return Step::kBroken;
  if (result.status == IoStatus::kEof) lane.source_ended = true;
  const bool waits = result.status == IoStatus::kWantRead || result.status == IoStatus::kWantWrite;
  if (waits || result.would_block) tls_side_.readable = false;
  return waits ? Step::kWait : Step::kGoOn;
}

TlsBridge::Step TlsBridge::StepToTls() {
  Lane& lane = to_tls_;
  if (lane.sink_gone) lane.at = lane.end;
  if (!lane.empty()) {
    if (!tls_side_.writable) return Step::kWait;
    const IoResult result = stream_->Write({lane.buffer.get() + lane.at, lane.end - lane.at});
    lane.at += result.bytes;
    if (result.status == IoStatus::kWantWrite || result.would_block) {
      tls_side_.writable = false;
      return Step::kWait;
    }
    if (result.status == IoStatus::kError) {
      // What the peer sent may still be read; the plain side learns that nobody hears it.
      lane.sink_gone = true;
      shutdown(plain_.get(), SHUT_RD);
    }
    return Step::kGoOn;
  }
  if (lane.source_ended) return PassEndToTls();
  if (!plain_side_.readable) return Step::kWait;
  FillFromPlain();
  return Step::kGoOn;
}

void TlsBridge::FillFromPlain() {
  Lane& lane = to_tls_;
  if (lane.buffer == nullptr) lane.buffer = pool_.Take();
  const ssize_t got = recv(plain_.get(), lane.buffer.get(), BufferPool::kSize, 0);
  lane.at = 0;
  lane.end = got > 0 ? static_cast<std::size_t>(got) : 0;
  if (got > 0) {
    if (lane.end < BufferPool::kSize && !plain_side_.hung_up) plain_side_.readable = false;
  } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    plain_side_.readable = false;
  } else if (got == 0 || errno != EINTR) {
    lane.source_ended = true;
  }
}

TlsBridge::Step TlsBridge::PassEndToTls() {
  Lane& lane = to_tls_;
  if (lane.finished) return Step::kWait;
  if (!lane.sink_gone) {
    if (!tls_side_.writable) return Step::kWait;
    if (stream_->CloseWrite() == IoStatus::kWantWrite) {
      tls_side_.writable = false;
      return Step::kWait;
    }
  }
  lane.finished = true;
  return Step::kWait;
}

// Both directions are over; or nobody is on the plain side any more, and the peer was given a while
// to take what is left and to end. One that reads nothing gets no longer than kDrain.
bool TlsBridge::ReachedEnd() {
  if (to_tls_.finished && to_plain_.finished) return true;
  if (!to_plain_.sink_gone) return false;
  const auto end_after = [this](Duration wait) {
    loop_.Cancel(linger_);
    linger_ = loop_.RunAfter(wait, [this] { End(); });
  };
  if (to_tls_.finished && !lingers_for_end_) {
    lingers_for_end_ = true;
    end_after(kLinger);
  } else if (linger_ == 0) {
    end_after(kDrain);
  }
  return false;
}

void TlsBridge::ReturnEmptyBuffers() {
  for (Lane* lane : {&to_plain_, &to_tls_}) {
    if (lane->empty()) pool_.Return(std::move(lane->buffer));
  }
}

void TlsBridge::End() {
  const auto on_end = std::move(on_end_);
  on_end_ = nullptr;
  if (on_end) on_end();  // may destroy this
}

BridgeSet::BridgeSet(EventLoop& loop) : loop_(loop), scratch_(std::make_shared<TlsScratch>()) {}

BridgeSet::~BridgeSet() { loop_.Cancel(sweep_); }

void BridgeSet::Add(std::uint64_t id, std::unique_ptr<TlsStream> stream, UniqueFd plain) {
  stream->UseScratch(scratch_);
  auto& bridge = bridges_[id];
  bridge = std::make_unique<TlsBridge>(loop_, pool_, std::move(stream), std::move(plain),
                                       [this, id] { bridges_.erase(id); });
  if (sweep_ == 0) sweep_ = loop_.RunAfter(kSweepEvery, [this] { Sweep(); });
  bridge->Start();
}

// Without a close_notify where we cut: the peer must not take it for the end of what was to be
// said.
void BridgeSet::Sweep() {
  sweep_ = 0;
  const WallTime wall = loop_.clock().Now();
  std::erase_if(bridges_, [&](const auto& row) {
    const auto& peer = row.second->peer();
    return peer != nullptr && wall >= peer->valid_until;
  });
  if (!bridges_.empty()) sweep_ = loop_.RunAfter(kSweepEvery, [this] { Sweep(); });
}

Result<std::pair<UniqueFd, UniqueFd>> MakePlainPair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
    return Fail(Code::kResourceExhausted, kPlainPairFailed, ErrnoText(errno));
  return std::pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void EnableKeepAlive(int socket) {
  constexpr int kOn = 1, kIdleSeconds = 60, kIntervalSeconds = 15, kProbes = 4;
  // On a Unix socket these fail, and are not needed.
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kIdleSeconds, sizeof kIdleSeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kIntervalSeconds, sizeof kIntervalSeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
}

}  // namespace signet::net
