// RpcServer as gRPC's own client sees it: over TLS as the server and the agent use it, and over a
// Unix socket.
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>

#include "grpc/health/v1/health.grpc.pb.h"
#include "net/grpc/rpc_server.h"
#include "net/tls_front.h"
#include "tests/unit/net/tls_peers.h"

namespace signet::net {
namespace {

namespace health = ::grpc::health::v1;

struct NamedPeer final : RpcPeer {
  std::string name;
};

// "Check" asks for the caller itself: the service named must be its own ID. "Watch" hears one
// status at once, and stays until it is cancelled.
class HealthCall final : public RpcHandler {
 public:
  HealthCall(std::string path, std::string caller, std::shared_ptr<RpcCall> call)
      : path_(std::move(path)), caller_(std::move(caller)), call_(std::move(call)) {}
  void OnMessage(std::string message) override {
    health::HealthCheckRequest request;
    if (!request.ParseFromString(message)) return call_->Finish({3, "no request", {}});
    if (request.service() == "fail")
      return call_->Finish({5,
                            "keine Gr\xc3\xbc\xc3\x9f"
                            "e: 100%",
                            "the details"});
    health::HealthCheckResponse response;
    response.set_status(request.service() == caller_ || path_.ends_with("/Watch")
                            ? health::HealthCheckResponse::SERVING
                            : health::HealthCheckResponse::SERVICE_UNKNOWN);
    call_->Send(response.SerializeAsString());
    if (path_.ends_with("/Check")) call_->Finish({});
  }
  void OnHalfClose() override {}
  void OnOver() override {}

 private:
  const std::string path_, caller_;
  const std::shared_ptr<RpcCall> call_;
};

class HealthService final : public RpcService {
 public:
  std::shared_ptr<const RpcPeer> Meet(const PeerIdentity* peer, std::string) override {
    auto met = std::make_shared<NamedPeer>();
    if (peer != nullptr) met->name = peer->name;
    return met;
  }
  std::shared_ptr<RpcHandler> Begin(const std::string& path,
                                    const std::shared_ptr<const RpcPeer>& peer,
                                    const std::shared_ptr<RpcCall>& call) override {
    call->Read();
    return std::make_shared<HealthCall>(path, dynamic_cast<const NamedPeer&>(*peer).name, call);
  }
};

struct Client {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<health::Health::Stub> stub;

  explicit Client(UniqueFd plain) {
    grpc::ChannelArguments arguments;
    channel = grpc::CreateCustomInsecureChannelFromFd("signet", plain.Release(), arguments);
    stub = health::Health::NewStub(channel);
  }
  grpc::Status Check(const std::string& service, health::HealthCheckResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    health::HealthCheckRequest request;
    request.set_service(service);
    return stub->Check(&context, request, response);
  }
  // Whether the server knows this client by `id`.
  bool IsKnownAs(const std::string& id) {
    health::HealthCheckResponse response;
    return Check(id, &response).ok() && response.status() == health::HealthCheckResponse::SERVING;
  }
};

struct GrpcWorld {
  GrpcWorld() : server(service, {}) {
    peers.server_options.alpn = {"h2"};
    peers.client_options.alpn = {"h2"};
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
        server, {}, clock, log, metrics);
    dialer = *TlsDialer::Start(peers.clock);
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
  Client DialLocal(const std::string& name) {
    auto [ours, theirs] = SocketPair();
    auto peer = std::make_shared<NamedPeer>();
    peer->name = name;
    server.AdoptLocal(std::move(theirs), peer);
    return Client(std::move(ours));
  }

  TlsPeers peers;
  SystemClock clock;
  Logger log = Logger::Null();
  Metrics metrics;
  std::mutex mutex;
  std::shared_ptr<const TlsContext> context;
  HealthService service;
  RpcServer server;
  Address address;
  std::unique_ptr<TlsFront> front;
  std::unique_ptr<TlsDialer> dialer;
};

}  // namespace

TEST_CASE("gRPC calls pass through dialer and front, each as the identity its handshake proved") {
  GrpcWorld world;
  const std::string id_a = "spiffe://example.org/a", id_b = "spiffe://example.org/b";
  Client a = world.Dial(id_a);
  Client b = world.Dial(id_b);
  Client local = world.DialLocal("the machine's own");
  for (int i = 0; i < 20; ++i) {
    CHECK(a.IsKnownAs(id_a));
    CHECK(b.IsKnownAs(id_b));
    CHECK(!a.IsKnownAs(id_b));
    CHECK(local.IsKnownAs("the machine's own"));
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

TEST_CASE("gRPC's client reads status, message and details as they were given") {
  GrpcWorld world;
  const bool is_local = GENERATE(false, true);
  Client client = is_local ? world.DialLocal("x") : world.Dial("spiffe://example.org/x");
  health::HealthCheckResponse response;
  const grpc::Status status = client.Check("fail", &response);
  CHECK(status.error_code() == grpc::StatusCode::NOT_FOUND);
  CHECK(status.error_message() ==
        "keine Gr\xc3\xbc\xc3\x9f"
        "e: 100%");
  CHECK(status.error_details() == "the details");
}

TEST_CASE("a gRPC call of megabytes passes, a compressed one is refused") {
  GrpcWorld world;
  Client client = world.Dial("spiffe://example.org/x");
  health::HealthCheckResponse response;
  CHECK(client.Check(std::string(3 << 20, 'x'), &response).ok());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  health::HealthCheckRequest request;
  request.set_service(std::string(10'000, 'x'));
  CHECK(client.stub->Check(&context, request, &response).error_code() ==
        grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace signet::net
