// gRPC behind the front, as the server and the agent use it: plain HTTP/2 over the socketpair,
// mutual TLS on the wire, the caller's identity found by the descriptor that gRPC names as the
// peer.
#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>

#include "grpc/health/v1/health.grpc.pb.h"
#include "net/tls_front.h"
#include "tests/unit/net/tls_peers.h"

namespace signet::net {
namespace {

namespace health = ::grpc::health::v1;

// A watcher stays until it is cancelled; it hears one status at once.
class Watcher final : public grpc::ServerWriteReactor<health::HealthCheckResponse> {
 public:
  Watcher() {
    response_.set_status(health::HealthCheckResponse::SERVING);
    StartWrite(&response_);
  }
  void OnWriteDone(bool) override {}
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  health::HealthCheckResponse response_;
};

class HealthService final : public health::Health::CallbackService {
 public:
  void Connected(int fd, std::string name) {
    const std::lock_guard lock(mutex_);
    names_[fd] = std::move(name);
  }
  // Asks for the caller itself: the service named must be its own ID.
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const health::HealthCheckRequest* request,
                                  health::HealthCheckResponse* response) override {
    const bool own = NameOf(context->peer()) == request->service();
    response->set_status(own ? health::HealthCheckResponse::SERVING
                             : health::HealthCheckResponse::SERVICE_UNKNOWN);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerWriteReactor<health::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext*, const health::HealthCheckRequest*) override {
    return new Watcher;
  }

 private:
  std::string NameOf(const std::string& peer) {
    const std::lock_guard lock(mutex_);
    return peer.starts_with("fd:") ? names_[std::stoi(peer.substr(3))] : "";
  }
  std::mutex mutex_;
  std::map<int, std::string> names_;
};

struct Client {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<health::Health::Stub> stub;

  explicit Client(UniqueFd plain)
      : channel(grpc::CreateInsecureChannelFromFd("signet", plain.Release())),
        stub(health::Health::NewStub(channel)) {}
  // Whether the server knows this client by `id`.
  bool IsKnownAs(const std::string& id) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    health::HealthCheckRequest request;
    request.set_service(id);
    health::HealthCheckResponse response;
    const grpc::Status status = stub->Check(&context, request, &response);
    return status.ok() && response.status() == health::HealthCheckResponse::SERVING;
  }
};

struct GrpcWorld {
  GrpcWorld() {
    peers.server_options.alpn = {"h2"};
    peers.client_options.alpn = {"h2"};
    grpc::ServerBuilder builder;
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    REQUIRE(server != nullptr);
    Result<UniqueFd> listener = ListenTcp({"127.0.0.1", 0, false});
    REQUIRE(listener);
    address = *Address::Parse(LocalAddress(listener->get())->ToString());
    SetContext(peers.Server());
    front = *TlsFront::Start(
        std::move(*listener),
        [this] {
          const std::lock_guard lock(mutex);
          return context;
        },
        [this](FrontConnection connection) {
          const int fd = connection.plain.Release();
          service.Connected(fd, connection.peer->name);
          grpc::AddInsecureChannelFromFd(server.get(), fd);
        },
        {}, clock, log, metrics);
    dialer = *TlsDialer::Start(peers.clock);
  }
  ~GrpcWorld() {
    front.reset();
    server->Shutdown();
  }
  void SetContext(std::shared_ptr<const TlsContext> next) {
    const std::lock_guard lock(mutex);
    context = std::move(next);
  }
  Client Dial(const std::string& id) {
    auto dialed =
        dialer->Dial(address, peers.Client(peers.authority.Issue(id)), std::chrono::seconds(20));
    REQUIRE(dialed);
    return Client(std::move(dialed->plain));
  }

  TlsPeers peers;
  SystemClock clock;
  Logger log = Logger::Null();
  Metrics metrics;
  std::mutex mutex;
  std::shared_ptr<const TlsContext> context;
  HealthService service;
  std::unique_ptr<grpc::Server> server;
  Address address;
  std::unique_ptr<TlsFront> front;
  std::unique_ptr<TlsDialer> dialer;
};

}  // namespace

TEST_CASE("gRPC calls pass through front and dialer, each as the identity its handshake proved") {
  GrpcWorld world;
  const std::string id_a = "spiffe://example.org/a", id_b = "spiffe://example.org/b";
  Client a = world.Dial(id_a);
  Client b = world.Dial(id_b);
  for (int i = 0; i < 20; ++i) {
    CHECK(a.IsKnownAs(id_a));
    CHECK(b.IsKnownAs(id_b));
    CHECK(!a.IsKnownAs(id_b));
  }
}

TEST_CASE("an open gRPC stream lives through a rotation and ends when its caller is cut") {
  GrpcWorld world;
  const std::string id = "spiffe://example.org/watcher";
  Client client = world.Dial(id);
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  const auto stream = client.stub->Watch(&call, health::HealthCheckRequest());
  health::HealthCheckResponse response;
  REQUIRE(stream->Read(&response));

  world.SetContext(world.peers.Server(world.peers.authority.Issue(TlsPeers::kServerId)));
  CHECK(client.IsKnownAs(id));  // on the same connection
  CHECK(world.Dial("spiffe://example.org/next").IsKnownAs("spiffe://example.org/next"));

  CHECK(world.front->CutWhere([&](const PeerIdentity& peer) { return peer.name == id; }) == 1);
  CHECK(!stream->Read(&response));
  CHECK(stream->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
}

}  // namespace signet::net
