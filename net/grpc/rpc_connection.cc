#include "net/grpc/rpc_connection.h"

#include <sys/epoll.h>

#include <utility>

#include "net/grpc/rpc_wire.h"

namespace signet::net {
namespace {

constexpr int kReadsPerTurn = 16;
constexpr int kWritesPerTurn = 16;
constexpr std::uint32_t kEdges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::uint32_t kEndEvents = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr Duration kLinger = std::chrono::seconds(2);

}  // namespace

RpcConnection::RpcConnection(const Parts& parts, std::uint64_t id, Origin origin,
                             std::unique_ptr<ByteStream> stream)
    : loop_(parts.loop),
      turn_(parts.turn),
      id_(id),
      origin_(std::move(origin)),
      stream_(std::move(stream)),
      receivable_(origin_.receive_limit),
      started_(loop_.now()),
      last_received_(loop_.now()),
      session_(parts.service, origin_.peer, parts.mailbox, parts.limits, parts.loop,
               [this] { MarkDirty(); }) {}

RpcConnection::~RpcConnection() {
  loop_.Remove(stream_->fd(), this);
  loop_.Cancel(again_);
  loop_.Cancel(held_);
  loop_.Cancel(linger_);
  ended_ = true;  // the session ends its calls now: nothing is to be said any more
}

void RpcConnection::Start() {
  if (!loop_.Add(stream_->fd(), kEdges, this)) return End(ConnectionEnd::kBroken);
  MarkDirty();  // the server's settings
  Pump();
}

void RpcConnection::OnEvents(std::uint32_t events) {
  const RpcTurn::Scope scope(turn_);
  if ((events & kEndEvents) != 0) stream_->OnHangUp();
  if ((events & (EPOLLIN | kEndEvents)) != 0) readable_ = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    writable_ = true;
    MarkDirty();
  }
  Pump();
}

// While the peer does not take what it is told, nothing more is taken from it; nor while it is held
// up for asking too much.
bool RpcConnection::MayRead() const {
  return readable_ && pending_.empty() && loop_.now() >= session_.held_until();
}

void RpcConnection::Pump() {
  for (int i = 0; i < kReadsPerTurn && MayRead() && !ended_; ++i) ReadOnce();
  if (readable_ && pending_.empty()) ReadLater();
}

void RpcConnection::ReadLater() {
  if (MayRead()) return ScheduleAgain();
  if (held_ != 0 || ended_) return;
  held_ = loop_.RunAfter(session_.held_until() - loop_.now(), [this] {
    held_ = 0;
    const RpcTurn::Scope scope(turn_);
    Pump();
  });
}

void RpcConnection::ReadOnce() {
  const IoResult result = stream_->Read(turn_.in());
  if (result.bytes > 0) {
    last_received_ = loop_.now();
    if (result.bytes > receivable_) return End(ConnectionEnd::kCut);
    receivable_ -= result.bytes;
    // What comes after our last word is thrown away: it must not cause another.
    if (!closing_)
      session_.Receive({reinterpret_cast<const char*>(turn_.in().data()), result.bytes});
  }
  switch (result.status) {
    case IoStatus::kOk:
      if (result.would_block) readable_ = false;
      return;
    case IoStatus::kWantRead:
    case IoStatus::kWantWrite:
      readable_ = false;
      return;
    case IoStatus::kEof:
      return End(ConnectionEnd::kClosed);
    case IoStatus::kError:
      return End(ConnectionEnd::kBroken);
  }
}

void RpcConnection::ScheduleAgain() {
  if (again_ != 0 || ended_) return;
  again_ = loop_.RunAfter(Duration::zero(), [this] {
    again_ = 0;
    const RpcTurn::Scope scope(turn_);
    MarkDirty();
    Pump();
  });
}

void RpcConnection::MarkDirty() {
  if (dirty_ || ended_) return;
  dirty_ = true;
  turn_.AddDirty(id_);
}

void RpcConnection::Flush() {
  dirty_ = false;
  bool more = true;
  for (int i = 0; i < kWritesPerTurn && more; ++i) more = WriteOnce();
  if (ended_) return;
  if (more) return ScheduleAgain();
  if (!pending_.empty()) return;
  WipeText(&pending_);
  if (!closing_ && session_.over()) Close();
  if (readable_) ReadLater();
}

void RpcConnection::Drain() {
  if (!std::exchange(draining_, true)) session_.Drain();
}

// False: for now there is nothing more to do.
bool RpcConnection::WriteOnce() {
  if (!writable_ || ended_ || closing_) return false;
  if (!pending_.empty()) return Write(&pending_);
  std::string& out = turn_.out();
  out.clear();
  session_.Produce(RpcTurn::kBytes, &out);
  if (out.empty()) return false;
  const std::size_t produced = out.size();
  const bool written = Write(&out);
  if (written && !out.empty()) pending_ = out;
  out.resize(produced);  // what was sent too is wiped, and the room kept
  WipeBytes({reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  return written;
}

// Takes from `bytes` what was sent. False: the connection has ended.
bool RpcConnection::Write(std::string* bytes) {
  const IoResult result = stream_->Write(AsBytes(*bytes));
  if (result.status == IoStatus::kError) {
    End(ConnectionEnd::kBroken);
    return false;
  }
  if (result.status == IoStatus::kWantWrite || result.would_block) writable_ = false;
  bytes->erase(0, result.bytes);
  return true;
}

// Closing at once, with bytes of the peer unread, could destroy what was said last.
void RpcConnection::Close() {
  closing_ = true;
  stream_->CloseWrite();
  linger_ = loop_.RunAfter(kLinger, [this] {
    linger_ = 0;
    const RpcTurn::Scope scope(turn_);
    End(ConnectionEnd::kClosed);
  });
}

void RpcConnection::End(ConnectionEnd how) {
  if (ended_) return;
  ended_ = true;
  session_.Stop();  // also what was read already
  loop_.Remove(stream_->fd(), this);
  turn_.AddEnded(id_, how);
}

void RpcConnection::CheckAlive(Duration silence, Duration patience) {
  const SteadyTime now = loop_.now();
  session_.Rest();
  if (now - last_received_ < silence) return;
  if (!session_.ping_unanswered() || last_received_ > pinged_at_) {
    pinged_at_ = now;
    session_.Ping();
  } else if (now - pinged_at_ >= patience) {
    End(ConnectionEnd::kIdle);
  }
}

}  // namespace signet::net
