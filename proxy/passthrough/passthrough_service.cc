#include "proxy/passthrough/passthrough_service.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "proxy/detect/client_hello.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kTurnBytes = 4 * kBufferBytes;
constexpr std::uint32_t kAllEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

mesh::IpAddress AddressOf(const net::SocketAddress& remote) {
  return mesh::IpAddress::FromSockaddr(reinterpret_cast<const sockaddr*>(&remote.storage),
                                       remote.length);
}

}  // namespace

PassthroughService::PassthroughService(ConnectionHost& host, ServiceOwner& owner,
                                       PlainStream& caller, std::shared_ptr<Lane> lane,
                                       const net::SocketAddress& remote)
    : host_(host),
      owner_(owner),
      caller_(caller),
      lane_(std::move(lane)),
      source_(AddressOf(remote)),
      active_at_(host.parts().loop.now()) {}

PassthroughService::~PassthroughService() { host_.parts().loop.Cancel(timer_); }

void PassthroughService::Start() {
  Arm(host_.limits().handshake_deadline);
  ReadHello();
}

void PassthroughService::OnReady(std::uint32_t events) {
  caller_.OnReady(events);
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) caller_ended_ = true;
  if (state_ == State::kHello) return ReadHello();
  if (state_ == State::kRelaying) Pump();
}

// ---- the name

void PassthroughService::ReadHello() {
  std::array<std::uint8_t, kMaxClientHello> bytes;
  const ssize_t got = ::recv(caller_.fd(), bytes.data(), bytes.size(), MSG_PEEK);
  const std::size_t seen = got > 0 ? static_cast<std::size_t>(got) : 0;
  switch (ReadClientHello(ByteView(bytes).first(seen), &name_)) {
    case HelloStatus::kMore:
      if (got == 0 || caller_ended_)
        Refuse(Refusal::kHandshakeFailed, "it ended before its ClientHello was whole");
      return;
    case HelloStatus::kNoName:
      return Refuse(Refusal::kNotAllowed, "it asks for no server name");
    case HelloStatus::kMalformed:
      return Refuse(Refusal::kHandshakeFailed, "it is no TLS");
    case HelloStatus::kName:
      break;
  }
  const auto rule = FindServerName(lane_->plan->config.server_names, name_, source_);
  if (!rule) return Refuse(Refusal::kNotAllowed, "no server_names for " + name_ + " from there");
  if (!lane_->plan->loop.empty()) return Refuse(Refusal::kForwardLoop, lane_->plan->loop);
  plan_ = lane_->plan->by_name[*rule];
  target_text_ = plan_->config.forward.ToString();
  state_ = State::kConnecting;
  Arm(host_.limits().connect_timeout);
  ConnectNext();
}

// ---- the target

void PassthroughService::ConnectNext() {
  while (tried_ < plan_->targets.size())
    if (TryTarget(plan_->targets[tried_++])) return;
  if (plan_->targets.empty())
    return Refuse(Refusal::kBackendUnresolved, target_text_ + " has no address");
  Refuse(Refusal::kBackendUnreachable, target_text_ + ": " + failure_);
}

bool PassthroughService::TryTarget(const net::SocketAddress& target) {
  UniqueFd socket(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    failure_ = ErrnoText(errno);
    return false;
  }
  const int on = 1;
  if (target.family() != AF_UNIX)
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&target.storage), target.length) !=
          0 &&
      errno != EINPROGRESS) {
    failure_ = ErrnoText(errno);
    return false;
  }
  // Also one that stands already is announced: a socket that can be written to is an edge.
  if (!host_.parts().loop.Add(socket.get(), kAllEvents, this)) {
    failure_ = "its socket cannot be watched";
    return false;
  }
  target_.emplace(std::move(socket));
  return true;
}

void PassthroughService::OnEvents(std::uint32_t events) {
  if (state_ == State::kRelaying) {
    target_->OnReady(events);
    return Pump();
  }
  if (state_ != State::kConnecting || (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(target_->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    failure_ = ErrnoText(error);
    host_.parts().loop.Remove(target_->fd(), this);
    target_.reset();
    return ConnectNext();
  }
  target_->OnReady(events);
  OnConnected();
}

void PassthroughService::OnConnected() {
  plan_ = nullptr;
  if (!owner_.OnServiceOpening()) return;
  state_ = State::kRelaying;
  to_target_.emplace(caller_, *target_, host_.parts().buffers);
  to_caller_.emplace(*target_, caller_, host_.parts().buffers);
  active_at_ = host_.parts().loop.now();
  Arm(host_.limits().idle);
  Pump();
}

// ---- bytes

void PassthroughService::Continue() {
  if (state_ == State::kRelaying) Pump();
}

void PassthroughService::Pump() {
  std::size_t up = kTurnBytes;
  std::size_t down = kTurnBytes;
  const FlowStop up_stop = to_target_->Pump(&up);
  const FlowStop down_stop = to_caller_->Pump(&down);
  const std::uint64_t moved = received() + sent();
  if (std::exchange(counted_, moved) != moved) active_at_ = host_.parts().loop.now();
  const auto broke = [](const Flow& flow) { return flow.ended() && flow.source_broke(); };
  if (broke(*to_target_) || broke(*to_caller_)) return End(Ending::kReset, false);
  if (to_target_->ended() && to_caller_->ended()) {
    const bool orderly =
        to_target_->state() == FlowState::kClosed && to_caller_->state() == FlowState::kClosed;
    return End(orderly ? Ending::kFinished : Ending::kReset, orderly);
  }
  if (up_stop == FlowStop::kBudget || down_stop == FlowStop::kBudget) owner_.RequeueService();
}

// ---- decisions and ends

const ListenerPlan* PassthroughService::Destination() const {
  const auto rule = FindServerName(lane_->plan->config.server_names, name_, source_);
  return rule ? lane_->plan->by_name[*rule].get() : nullptr;
}

void PassthroughService::DecideAgain() {
  if (state_ != State::kConnecting && state_ != State::kRelaying) return;
  const ListenerPlan* const now = Destination();
  if (now != nullptr && now->config.forward.ToString() == target_text_) return;
  if (state_ == State::kConnecting)
    return Refuse(Refusal::kNotAllowed, "server_names changed while it connected");
  End(Ending::kPolicyChanged, false);
}

void PassthroughService::Refuse(Refusal refusal, const std::string& why) {
  owner_.OnServiceRefused(refusal, why);
}

void PassthroughService::End(Ending ending, bool orderly) {
  if (orderly && target_) {
    host_.parts().loop.Remove(target_->fd(), this);
    target_.reset();  // the flows have ended, and are asked for their counts only
  }
  owner_.OnServiceEnd(ending, orderly, name_);
}

void PassthroughService::Abandon() {
  if (std::exchange(state_, State::kOver) == State::kOver) return;
  host_.parts().loop.Cancel(timer_);
  timer_ = 0;
  if (!target_) return;
  host_.parts().loop.Remove(target_->fd(), this);
  ResetOnClose(target_->fd());
}

void PassthroughService::Arm(Duration delay) {
  host_.parts().loop.Cancel(timer_);
  timer_ =
      host_.parts().loop.RunAfter(std::max(delay, Duration(std::chrono::milliseconds(1))), [this] {
        timer_ = 0;
        OnTimer();
      });
}

void PassthroughService::OnTimer() {
  if (state_ == State::kHello)
    return Refuse(Refusal::kHandshakeTimeout, "its ClientHello took too long");
  if (state_ == State::kConnecting)
    return Refuse(Refusal::kBackendTimeout, "no connection to " + target_text_ + " in time");
  const Duration left = active_at_ + host_.limits().idle - host_.parts().loop.now();
  if (left <= Duration(0)) return End(Ending::kIdle, false);
  Arm(left);
}

}  // namespace signet::proxy
