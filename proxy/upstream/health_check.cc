#include "proxy/upstream/health_check.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <set>
#include <utility>

#include "proxy/forward/stream.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kMaxAnswer = 1024;  // of a gRPC answer that is looked at
constexpr std::size_t kGrpcPrefix = 5;

RequestHead HeadOf(const mesh::HealthCheck& how, const Lane& lane, std::size_t body_bytes) {
  RequestHead head;
  head.authority = how.host.empty() ? lane.plan->config.forward.ToString() : how.host;
  if (lane.plan->config.forward.is_unix && how.host.empty()) head.authority = "localhost";
  head.fields.Add("user-agent", "signet-proxy/health");
  if (how.type == mesh::HealthCheck::Type::kHttp) {
    head.method = "GET";
    head.path = how.path;
    return head;
  }
  head.method = "POST";
  head.path = "/grpc.health.v1.Health/Check";
  head.version = HttpVersion::kHttp2;
  head.fields.Add("content-type", "application/grpc");
  head.fields.Add("content-length", fmt::format("{}", body_bytes));
  head.body = {BodyKind::kLength, body_bytes};
  head.takes_trailers = true;
  return head;
}

}  // namespace

std::string GrpcHealthRequest(std::string_view service) {
  // HealthCheckRequest { string service = 1; }, shorter than 128 bytes (the configuration says so).
  std::string message;
  if (!service.empty()) {
    message += '\x0a';
    message += static_cast<char>(service.size());
    message += service;
  }
  std::string framed(kGrpcPrefix, '\0');
  framed[kGrpcPrefix - 1] = static_cast<char>(message.size());
  return framed + message;
}

bool GrpcHealthServing(std::string_view body) {
  // HealthCheckResponse { ServingStatus status = 1; } with SERVING = 1, not compressed.
  constexpr std::string_view kServing("\0\0\0\0\x02\x08\x01", 7);
  return body == kServing;
}

// One endpoint's. Each run comes to one result, and arms the next.
class EndpointCheck final : private net::EventHandler,
                            private UpstreamWaiter,
                            private ClientStreamEvents {
 public:
  EndpointCheck(HealthChecks& owner, HealthChecks::Watched watched)
      : owner_(owner), watched_(std::move(watched)) {
    // Spread, so that not all endpoints are asked in one moment.
    const auto spread = static_cast<std::int64_t>(
        owner_.dice_.Throw() % static_cast<std::uint64_t>(watched_.how.interval.count()));
    Arm(Duration(spread), [this] { Run(); });
  }
  ~EndpointCheck() override {
    owner_.host_.parts().loop.Cancel(timer_);
    Drop();
  }

  void Follow(const mesh::HealthCheck& how) { watched_.how = how; }

 private:
  template <class Then>
  void Arm(Duration delay, Then then) {
    owner_.host_.parts().loop.Cancel(timer_);
    timer_ = owner_.host_.parts().loop.RunAfter(delay, [this, then] {
      const Turns::Scope turn(owner_.turns_);
      timer_ = 0;
      then();
    });
  }
  const Lane& lane() const { return *watched_.endpoint->lane; }

  void Run() {
    Arm(watched_.how.timeout, [this] { Finish(false); });
    running_ = true;
    if (watched_.how.type == mesh::HealthCheck::Type::kTcp) return Connect();
    const bool grpc = watched_.how.type == mesh::HealthCheck::Type::kGrpc;
    group_ = owner_.pool_.GroupOf(
        watched_.endpoint->lane,
        owner_.host_.identity() ? owner_.host_.identity()->id.ToString() : std::string(),
        grpc ? HttpVersion::kHttp2 : HttpVersion::kHttp11);
    owner_.pool_.Want(group_, false, *this);
  }

  // ---- TCP

  void Connect() {
    if (lane().plan->targets.empty()) return Finish(false);
    const net::SocketAddress& target = lane().plan->targets.front();
    socket_.Reset(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_.valid()) return Finish(false);
    const auto* address = reinterpret_cast<const sockaddr*>(&target.storage);
    if (::connect(socket_.get(), address, target.length) == 0) return Finish(true);
    if (errno != EINPROGRESS) return Finish(false);
    watched_socket_ = owner_.host_.parts()
                          .loop.Add(socket_.get(), EPOLLOUT, static_cast<net::EventHandler*>(this))
                          .has_value();
    if (!watched_socket_) Finish(false);
  }

  void OnEvents(std::uint32_t) override {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    Finish(error == 0);
  }

  // ---- HTTP and gRPC

  void OnUpstream(ClientCodec& codec, bool) override {
    group_.reset();
    const bool grpc = watched_.how.type == mesh::HealthCheck::Type::kGrpc;
    const std::string body = grpc ? GrpcHealthRequest(watched_.how.service) : std::string();
    answer_.clear();
    status_ = 0;
    up_ = &codec.Open(HeadOf(watched_.how, lane(), body.size()), !grpc,
                      static_cast<ClientStreamEvents&>(*this));
    if (!grpc) return;
    up_->SendData(body);
    if (up_ != nullptr) up_->SendEnd({});
  }

  void OnNoUpstream(const UpstreamFailure&) override {
    group_.reset();
    Finish(false);
  }

  void OnHead(ResponseHead head) override {
    if (!head.informational()) status_ = head.status;
  }

  void OnData(std::string_view data) override {
    if (answer_.size() + data.size() <= kMaxAnswer) answer_.append(data);
    if (up_ != nullptr) up_->Consumed(data.size());
  }

  void OnEnd(const Fields& trailers) override {
    up_ = nullptr;
    const bool answered = status_ >= 200 && status_ < 300;
    if (watched_.how.type == mesh::HealthCheck::Type::kHttp) return Finish(answered);
    Finish(answered && trailers.First("grpc-status") == "0" && GrpcHealthServing(answer_));
  }

  void OnFault(StreamFault) override {
    up_ = nullptr;
    Finish(false);
  }
  void OnDrained() override {}

  // ---- ends

  void Drop() {
    if (std::exchange(watched_socket_, false))
      owner_.host_.parts().loop.Remove(socket_.get(), static_cast<net::EventHandler*>(this));
    socket_.Reset();
    if (group_) UpstreamPool::Withdraw(*std::exchange(group_, nullptr), *this);
    if (up_ != nullptr) std::exchange(up_, nullptr)->Reset(StreamFault::kCancelled);
  }

  void Finish(bool well) {
    if (!std::exchange(running_, false)) return;
    Drop();
    if (watched_.endpoint->checked.Take(well, watched_.how))
      owner_.host_.parts().log.Warn(watched_.endpoint->checked.well() ? "an endpoint is well again"
                                                                      : "an endpoint is not well",
                                    {{"listener", lane().plan->config.name},
                                     {"endpoint", lane().plan->config.forward.ToString()}});
    Arm(watched_.how.interval, [this] { Run(); });
  }

  HealthChecks& owner_;
  HealthChecks::Watched watched_;
  net::EventLoop::TimerId timer_ = 0;
  bool running_ = false;
  UniqueFd socket_;
  bool watched_socket_ = false;
  UpstreamGroupPtr group_;  // while it waits for a connection
  ClientStream* up_ = nullptr;
  int status_ = 0;
  std::string answer_;
};

HealthChecks::HealthChecks(ConnectionHost& host, Turns& turns, UpstreamPool& pool, Dice& dice)
    : host_(host), turns_(turns), pool_(pool), dice_(dice) {}

HealthChecks::~HealthChecks() = default;

void HealthChecks::Watch(const std::vector<Watched>& endpoints) {
  std::set<const EndpointState*> wanted;
  for (const Watched& each : endpoints) {
    wanted.insert(each.endpoint.get());
    std::unique_ptr<EndpointCheck>& check = checks_[each.endpoint.get()];
    if (check)
      check->Follow(each.how);
    else
      check = std::make_unique<EndpointCheck>(*this, each);
  }
  std::erase_if(checks_, [&](const auto& each) { return !wanted.contains(each.first); });
}

}  // namespace signet::proxy
