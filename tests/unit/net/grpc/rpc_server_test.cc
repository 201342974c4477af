// RpcServer behind a TLS front and on local sockets: its limits, its ends, and calls from many
// threads.
#include "net/grpc/rpc_server.h"

#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <thread>

#include "net/tls_front.h"
#include "tests/support/eventually.h"
#include "tests/unit/net/grpc/rpc_world.h"
#include "tests/unit/net/tls_peers.h"

namespace signet::net {
namespace {

using test::Eventually;
using test::Http2Caller;
using test::StreamClient;
using test::StreamEnd;

// As TestHandler, for a loop of its own: "/echo" echoes, all else waits for the test.
//
// Threads: safe from any thread.
class LoopService final : public RpcService {
 public:
  std::shared_ptr<const RpcPeer> Meet(const PeerIdentity*, std::string) override { return nullptr; }
  std::shared_ptr<RpcHandler> Begin(const std::string& path, const std::shared_ptr<const RpcPeer>&,
                                    const std::shared_ptr<RpcCall>& call) override {
    ++begun;
    if (path == "/hold") {
      call->HoldConnection(hold_until);
      call->Finish({8, "too much", {}});
      return std::make_shared<Handler>(*this, call, false);
    }
    call->Read();
    auto handler = std::make_shared<Handler>(*this, call, path == "/echo");
    if (path == "/echo") return handler;
    const std::lock_guard lock(mutex_);
    waiting_.push_back(call);
    arrived_.notify_all();
    return handler;
  }
  // The next call that waits.
  std::shared_ptr<RpcCall> Next() {
    std::unique_lock lock(mutex_);
    REQUIRE(arrived_.wait_for(lock, test::kPatience, [this] { return !waiting_.empty(); }));
    auto call = std::move(waiting_.front());
    waiting_.pop_front();
    return call;
  }
  std::atomic<int> begun = 0, over = 0;
  SteadyTime hold_until{};  // what "/hold" does to its connection
  std::atomic<std::size_t> received = 0;

 private:
  struct Handler final : RpcHandler {
    Handler(LoopService& own_service, std::shared_ptr<RpcCall> own_call, bool is_echo)
        : service(own_service), call(std::move(own_call)), echo(is_echo) {}
    void OnMessage(std::string message) override {
      service.received += message.size();
      if (!echo) return;
      call->Send(std::move(message));
      call->Read();
    }
    void OnHalfClose() override {
      if (echo) call->Finish({});
    }
    void OnOver() override { ++service.over; }
    LoopService& service;
    const std::shared_ptr<RpcCall> call;
    const bool echo;
  };
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::shared_ptr<RpcCall>> waiting_;
};

struct ServerWorld {
  explicit ServerWorld(const RpcServerLimits& limits = {}) : server(service, limits) {
    peers.server_options.client_certificate = ClientCertificate::kOptional;
    context = peers.Server();
    Result<UniqueFd> listener = ListenTcp({"127.0.0.1", 0, false});
    REQUIRE(listener);
    address = *LocalAddress(listener->get());
    front = *TlsFront::Start(
        std::move(*listener), [this] { return context; }, server, {}, clock, log, metrics);
  }
  StreamClient Connect(std::shared_ptr<const TlsContext> client = nullptr) {
    if (client == nullptr) client = peers.Client();
    const std::size_t before = server.connections();
    StreamClient stream = StreamClient::Connect(address, std::move(client));
    REQUIRE(stream.end() == StreamEnd::kOpen);
    REQUIRE(Eventually([&] { return server.connections() > before; }));
    return stream;
  }
  StreamClient ConnectLocal() {
    auto [ours, theirs] = SocketPair();
    server.AdoptLocal(std::move(theirs), nullptr);
    return StreamClient(std::move(ours));
  }
  // What was due has run.
  void Turn() {
    for (int i = 0; i < 3; ++i) front->CutWhere([](const PeerIdentity&) { return false; });
  }
  // Second by second, as it passes for the loop.
  void Pass(std::chrono::seconds time) {
    for (; time > time.zero(); time -= std::chrono::seconds(1)) {
      clock.Advance(std::chrono::seconds(1));
      Turn();
    }
  }
  bool Ended(const std::string& how) {
    const std::string line = "signet_tls_ends_total{how=\"" + how + "\"} 1";
    return Eventually([&] { return metrics.Text().find(line) != std::string::npos; });
  }

  TlsPeers peers;
  test::FakeClock clock;
  Logger log = Logger::Null();
  Metrics metrics;
  LoopService service;
  RpcServer server;
  std::shared_ptr<const TlsContext> context;
  SocketAddress address;
  std::unique_ptr<TlsFront> front;
};

bool Echoes(Http2Caller& caller, std::uint32_t id, const std::string& text = "hello") {
  caller.Send(CallFrames(id, "/echo", text));
  const auto answer = caller.Await(id);
  return answer.body == Prefixed(text) && answer.ended &&
         answer.heads.back().at("grpc-status") == "0";
}

}  // namespace

TEST_CASE("a gRPC connection ends when its peer's certificate does, unless told otherwise") {
  RpcServerLimits limits;
  limits.cut_at_expiry = GENERATE(true, false);
  limits.ping_after = std::chrono::hours(10);
  ServerWorld world(limits);
  test::CertificateOptions options;
  options.uris = {TlsPeers::kClientId};
  options.not_after = world.clock.Now() + std::chrono::hours(1);
  Http2Caller caller(world.Connect(world.peers.Client(world.peers.authority.Issue(options))));
  CHECK(Echoes(caller, 1));
  world.clock.Advance(std::chrono::minutes(59));
  world.Turn();
  CHECK(Echoes(caller, 3));
  world.clock.Advance(std::chrono::minutes(1) + std::chrono::seconds(1));
  world.Turn();
  CHECK(Echoes(caller, 5) == !limits.cut_at_expiry);
  if (limits.cut_at_expiry) CHECK(world.Ended("expired"));
}

TEST_CASE("a gRPC connection without a call or message ends at its limit") {
  RpcServerLimits limits;
  limits.idle_limit = std::chrono::minutes(10);
  limits.ping_after = std::chrono::hours(1);
  ServerWorld world(limits);
  Http2Caller caller(world.Connect());
  CHECK(Echoes(caller, 1));
  world.clock.Advance(std::chrono::minutes(9));
  world.Turn();
  CHECK(Echoes(caller, 3));
  world.clock.Advance(std::chrono::minutes(9));
  world.Turn();
  caller.Send(h2::Frame(h2::kPing, 0, 0, "12345678"));  // is no use
  world.Turn();
  CHECK(world.server.connections() == 1);
  world.clock.Advance(std::chrono::minutes(1) + std::chrono::seconds(1));
  world.Turn();
  CHECK(world.Ended("idle"));
  CHECK(world.server.connections() == 0);
}

TEST_CASE("a connection at rest is told to go, one with an open call is not") {
  RpcServerLimits limits;
  limits.rest_limit = std::chrono::minutes(10);
  limits.ping_after = std::chrono::hours(1);
  ServerWorld world(limits);
  Http2Caller idle(world.ConnectLocal()), busy(world.ConnectLocal());
  CHECK(Echoes(idle, 1));
  busy.Send(CallFrames(1, "/wait", "x"));
  const auto call = world.service.Next();
  world.clock.Advance(std::chrono::minutes(10));
  world.Pass(std::chrono::seconds(2));
  CHECK(idle.AwaitGoAway() == h2::kNoError);
  world.Pass(std::chrono::seconds(4));  // also when it does not hear
  CHECK(Eventually([&] { return world.server.local_connections() == 1; }));
  call->Send("answer");
  call->Finish({});
  CHECK(busy.Await(1).body == Prefixed("answer"));
}

TEST_CASE("who shows no certificate is served for a while") {
  ServerWorld world;
  Http2Caller anonymous(world.Connect(world.peers.AnonymousClient()));
  Http2Caller proven(world.Connect());
  CHECK(Echoes(anonymous, 1));
  CHECK(Echoes(proven, 1));
  world.clock.Advance(std::chrono::seconds(59));
  world.Turn();
  CHECK(Echoes(anonymous, 3));
  CHECK(Echoes(proven, 3));
  world.clock.Advance(std::chrono::seconds(59));
  world.Turn();
  CHECK(Echoes(anonymous, 5));
  CHECK(Echoes(proven, 5));
  world.clock.Advance(std::chrono::seconds(3));
  world.Turn();
  CHECK(world.Ended("expired"));
  CHECK(Echoes(proven, 7));
}

TEST_CASE("who shows no certificate may send so much") {
  RpcServerLimits limits;
  limits.anonymous_bytes = 100'000;
  ServerWorld world(limits);
  const bool is_proven = GENERATE(false, true);
  Http2Caller caller(
      world.Connect(is_proven ? world.peers.Client() : world.peers.AnonymousClient()));
  std::uint32_t id = 1;
  std::size_t echoed = 0;
  for (; id < 21 && Echoes(caller, id, std::string(9'900, 'x')); id += 2) ++echoed;
  CHECK(echoed == (is_proven ? 10 : 9));
  if (!is_proven) CHECK(world.Ended("cut"));
}

TEST_CASE("who does not say HTTP/2's preface in time is let go, also one that says it slowly") {
  ServerWorld world;
  StreamClient silent = world.Connect();
  StreamClient slow = world.Connect();
  Http2Caller local_silent(world.ConnectLocal());
  Http2Caller caller(world.Connect());
  CHECK(Echoes(caller, 1));
  const std::string preface = h2::kPreface;
  for (std::size_t i = 0; i < 15; ++i) {
    slow.Send(preface.substr(i, 1));
    world.Pass(std::chrono::seconds(2));
  }
  world.Pass(std::chrono::seconds(1));
  CHECK(silent.WaitForEnd());
  CHECK(slow.WaitForEnd());
  CHECK(Echoes(caller, 3));
  CHECK(Echoes(local_silent, 1));  // it had said it
}

TEST_CASE("a silent peer is asked whether it is there, and goes when it does not answer") {
  ServerWorld world;
  Http2Caller caller(world.Connect());
  CHECK(Echoes(caller, 1));
  const auto is_asked = [&] {
    while (const auto frame = caller.Next())
      if (frame->type == h2::kPing && (frame->flags & h2::kAck) == 0) return frame->payload;
    return std::string("no");
  };
  for (int i = 0; i < 2; ++i) {
    world.Pass(std::chrono::seconds(61));
    const std::string asked = is_asked();
    REQUIRE(asked.size() == 8);
    caller.Send(h2::Frame(h2::kPing, h2::kAck, 0, asked));
    CHECK(Echoes(caller, static_cast<std::uint32_t>(2 * i + 3)));
  }
  world.Pass(std::chrono::seconds(79));
  CHECK(world.server.connections() == 1);
  world.Pass(std::chrono::seconds(4));
  CHECK(world.Ended("idle"));
  CHECK(world.server.connections() == 0);
}

TEST_CASE("what a peer says after both were done changes nothing") {
  ServerWorld world;
  Http2Caller caller(world.Connect(world.peers.AnonymousClient()));
  CHECK(Echoes(caller, 1));
  caller.Send(h2::Frame(h2::kGoAway, 0, 0, std::string(8, '\0')));
  while (caller.Next()) {
  }
  CHECK(caller.stream().end() == StreamEnd::kOrderly);  // close_notify; TCP is still open
  for (int i = 0; i < 3; ++i) {
    caller.Send(h2::Frame(h2::kPing, 0, 0, "12345678") + CallFrames(3, "/echo", "more"));
    world.Turn();
  }
  CHECK(world.service.begun == 1);
  Http2Caller other(world.Connect());
  CHECK(Echoes(other, 1));
  world.server.Drain(std::chrono::milliseconds(1));  // has nothing to say to who was told all
  CHECK(other.AwaitGoAway() == h2::kNoError);
  world.Pass(std::chrono::seconds(3));
  CHECK(world.server.connections() == 0);
}

TEST_CASE("who speaks another protocol is let go") {
  ServerWorld world;
  StreamClient caller = world.Connect();
  caller.Send("GET / HTTP/1.1\r\nhost: example.org\r\n\r\n");
  CHECK(caller.WaitForEnd());
  CHECK(caller.end() == StreamEnd::kOrderly);
  caller.Drop();
  CHECK(Eventually([&] { return world.server.connections() == 0; }));
  CHECK(world.service.begun == 0);
}

TEST_CASE("a peer that sends and never reads is stopped, and let go") {
  ServerWorld world;
  auto [ours, theirs] = SocketPair();
  world.server.AdoptLocal(std::move(theirs), nullptr);
  const std::string much = h2::Number(0x7fff0000, 4);
  std::string bytes = h2::kPreface + h2::Frame(h2::kSettings, 0, 0, h2::Number(4, 2) + much) +
                      h2::Frame(h2::kWindowUpdate, 0, 0, much);
  std::uint32_t id = 1;
  std::size_t sent = 0;
  const bool ended = Eventually([&] {
    for (int i = 0; i < 100; ++i) {
      if (bytes.empty()) bytes = CallFrames(id += 2, "/echo", std::string(16'000, 'x'));
      const ssize_t put = send(ours.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (put < 0 && errno != EAGAIN) return true;
      if (put < 0) break;
      sent += static_cast<std::size_t>(put);
      bytes.erase(0, static_cast<std::size_t>(put));
    }
    world.Pass(std::chrono::seconds(1));
    return world.server.local_connections() == 0;
  });
  CHECK(ended);
  CHECK(sent < std::size_t{8} << 20);
  CHECK(Eventually([&] { return world.service.over == world.service.begun; }));
}

TEST_CASE("draining lets calls end, begins none, and returns when the last is answered") {
  ServerWorld world;
  Http2Caller idle(world.Connect());
  CHECK(Echoes(idle, 1));
  Http2Caller busy(world.Connect());
  busy.Send(CallFrames(1, "/wait", "x"));
  const auto call = world.service.Next();
  std::atomic<bool> drained = false;
  std::jthread drain([&] {
    world.server.Drain(test::kPatience);
    drained = true;
  });
  CHECK(idle.AwaitGoAway() == h2::kNoError);
  CHECK(busy.AwaitGoAway() == h2::kNoError);
  world.Turn();
  CHECK_FALSE(drained);
  Http2Caller newcomer(world.Connect());
  CHECK(newcomer.AwaitGoAway() == h2::kNoError);
  newcomer.Send(CallFrames(1, "/echo", "late"));
  StreamClient local = world.ConnectLocal();
  CHECK(local.WaitForEnd());
  CHECK_FALSE(drained);
  call->Send("answer");
  call->Finish({});
  drain.join();
  CHECK(busy.Await(1).body == Prefixed("answer"));
  CHECK(world.service.begun == 2);
}

TEST_CASE("draining waits no longer than told, and not at all for a server that is gone") {
  ServerWorld world;
  Http2Caller busy(world.Connect());
  busy.Send(CallFrames(1, "/wait", "x"));
  const auto call = world.service.Next();
  world.server.Drain(std::chrono::milliseconds(1));
  CHECK(world.service.over == 0);
  world.front.reset();
  CHECK(world.service.over == 1);
  world.server.Drain(std::chrono::hours(1));
  StreamClient local = world.ConnectLocal();
  CHECK(local.WaitForEnd());
  call->Send("to nobody");
  call->Finish({});
}

TEST_CASE("who is cut has no call left") {
  ServerWorld world;
  Http2Caller caller(world.Connect());
  caller.Send(CallFrames(1, "/wait", "x"));
  const auto call = world.service.Next();
  CHECK(world.front->CutWhere(
            [](const PeerIdentity& peer) { return peer.name == TlsPeers::kClientId; }) == 1);
  CHECK(world.service.over == 1);
  call->Send("to nobody");
  call->Finish({});
  CHECK(caller.stream().WaitForEnd());
  CHECK(world.Ended("cut"));
}

TEST_CASE("a connection that breaks ends its calls") {
  ServerWorld world;
  Http2Caller caller(world.Connect());
  caller.Send(HeadersFrame(1, RpcHead("/wait")) + HeadersFrame(3, RpcHead("/wait")));
  world.service.Next();
  world.service.Next();
  caller.stream().Drop();
  CHECK(Eventually([&] { return world.service.over == 2; }));
  CHECK(world.Ended("broken"));
}

TEST_CASE("a connection that is held is answered, and not read until its time; others are") {
  ServerWorld world;
  world.service.hold_until = world.clock.SteadyNow() + std::chrono::seconds(5);
  Http2Caller held(world.Connect()), other(world.Connect());
  CHECK(Echoes(held, 1));
  held.Send(HeadersFrame(3, RpcHead("/hold"), true));
  CHECK(held.Await(3).heads.back().at("grpc-status") == "8");
  held.Send(CallFrames(5, "/echo", "later"));
  world.Pass(std::chrono::seconds(4));
  CHECK(Echoes(other, 1));
  CHECK(world.service.begun == 3);
  world.Pass(std::chrono::seconds(2));
  CHECK(held.Await(5).body == Prefixed("later"));
}

TEST_CASE("what one thread asks for is done in its order, over TLS and over a local socket") {
  ServerWorld world;
  const bool is_local = GENERATE(false, true);
  Http2Caller caller(is_local ? world.ConnectLocal() : world.Connect());
  std::string wanted;
  for (std::uint32_t id = 1; id <= 7; id += 2) caller.Send(CallFrames(id, "/wait", "x"));
  for (int i = 0; i < 2000; ++i) wanted += Prefixed(std::to_string(i));
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([call = world.service.Next()] {
        for (int i = 0; i < 2000; ++i) call->Send(std::to_string(i));
        call->Finish({});
      });
    }
  }
  for (std::uint32_t id = 1; id <= 7; id += 2) CHECK(caller.Await(id).body == wanted);
  CHECK(Eventually([&] { return world.service.over == 4; }));
}

TEST_CASE("threads may go on with their calls while the server ends") {
  for (int round = 0; round < 5; ++round) {
    ServerWorld world;
    Http2Caller caller(world.Connect());
    for (std::uint32_t id = 1; id <= 7; id += 2) caller.Send(CallFrames(id, "/wait", "x"));
    std::atomic<bool> stop = false;
    std::atomic<int> asked = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, call = world.service.Next()] {
        while (!stop) {
          call->Send(std::string(100, 'x'));
          call->Read();
          ++asked;
          std::this_thread::yield();
        }
        call->Finish({});
      });
    }
    REQUIRE(Eventually([&] { return asked > 100; }));
    world.front.reset();
    CHECK(world.service.over == 4);
    stop = true;
  }
}

}  // namespace signet::net
