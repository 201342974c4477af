// The agent's socket as connections see it: bounds, who stays silent, who floods, who does not
// read.
#include "agent/endpoints/socket_server.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>

#include "agent/endpoints/health_service.h"
#include "agent/endpoints/sds_service.h"
#include "grpc/health/v1/health.pb.h"
#include "net/address.h"
#include "net/grpc/rpc_wire.h"
#include "tests/support/eventually.h"
#include "tests/support/http2_caller.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;
using signet::test::Eventually;
using signet::test::Http2Caller;
using signet::test::StreamClient;
using signet::test::TempDir;
namespace h2 = signet::test::h2;
namespace health_api = grpc::health::v1;

namespace {

constexpr int kPatience = 20'000;  // milliseconds
constexpr const char* kCheck = "/grpc.health.v1.Health/Check";

std::string Prefixed(const std::string& message) {
  std::string bytes;
  net::AppendRpcPrefix(static_cast<std::uint32_t>(message.size()), &bytes);
  return bytes + message;
}

h2::List Head(const std::string& path) {
  h2::List fields = h2::Post(path);
  fields.emplace_back("content-type", "application/grpc");
  return fields;
}

// A socket with gRPC health and, at "/numbers", a stream that tells how often it was asked: each
// time in a message of `size` bytes. Also at "/secrets": a subscription to secrets.
struct World {
  explicit World(const CallerLimits& limits = {}) : server(limits, clock, log, metrics) {
    health.Register(&calls);
    calls.Add("/numbers", [this](const Arrival& arrival) { return Numbers(arrival); });
    sds.Register(&calls);
    REQUIRE(server.Serve(*net::ListenUnix(path, {}), calls));
  }
  ~World() {
    pool.Stop();
    server.StopAccepting();
    hub.Stop();
    server.Stop();
  }
  std::shared_ptr<net::RpcHandler> Numbers(const Arrival& arrival) {
    using Response = health_api::HealthCheckRequest;
    auto admission = gate.Admit(arrival);
    if (!admission) return gate.Refuse(*arrival.call, admission.error());
    return UpdateStream<Response>::Create(
        streams, *std::move(admission), [this](const auto& stream, const std::string&) {
          stream->Begin({}, [this](const Snapshot&, WallTime) {
            Answer<Response> answer;
            answer.kind = AnswerKind::kSend;
            answer.response.set_service(std::to_string(++composed) + std::string(size, ' '));
            return answer;
          });
        });
  }
  UniqueFd Connect() const {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }
  Http2Caller Call() const { return Http2Caller(StreamClient(Connect())); }
  // Whether somebody else is served.
  bool Serves() const {
    Http2Caller caller = Call();
    caller.Headers(1, Head(kCheck), false);
    caller.Data(1, Prefixed(""));
    const auto answer = caller.Await(1);
    return !answer.heads.empty() && answer.heads.back().contains("grpc-status") &&
           answer.heads.back().at("grpc-status") == "0";
  }

  TempDir dir;
  const std::string path = dir.File("api.sock");
  const SystemClock clock;
  OsRandom random;
  const Logger log = Logger::Null();
  Metrics metrics;
  Cache cache{agent::test::ExampleOrg()};
  Interest interest;
  AttestationPool pool;
  std::atomic<int> composed{0};
  std::atomic<std::size_t> size{0};
  SocketServer server;
  const Attestation attestation{
      pool,    [](const net::PeerCredentials&) { return agent::test::Selectors({"unix:uid:1"}); },
      clock,   log,
      metrics, [](const identity::SelectorSet&) { return WorkloadView(); }};
  RefusalCounters refusals{metrics};
  CallerGate gate{server.callers(), attestation, refusals};
  StreamHub hub;
  StreamContext streams{cache, hub, interest, pool, clock, [](const auto&) {}, [](const auto&) {}};
  HealthService health;
  SdsService sds{streams, gate, SdsOptions{}, random, log};
  CallTable calls;
};

// Reads, and answers nothing, until the other side ends the connection or `milliseconds` are over.
// True: it ended.
bool IsHungUpOn(const UniqueFd& fd, int milliseconds = kPatience) {
  std::array<char, 4096> buffer{};
  while (true) {
    pollfd polled{fd.get(), POLLIN, 0};
    if (poll(&polled, 1, milliseconds) != 1) return false;
    if (recv(fd.get(), buffer.data(), buffer.size(), 0) <= 0) return true;
  }
}

// That the server has taken the connection: it speaks first (HTTP/2 SETTINGS).
bool IsGreeted(const UniqueFd& fd) {
  pollfd polled{fd.get(), POLLIN, 0};
  char first = 0;
  return poll(&polled, 1, kPatience) == 1 && recv(fd.get(), &first, 1, MSG_PEEK) == 1;
}

bool SendAll(const UniqueFd& fd, const std::string& bytes) {
  return send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

std::string Hello() { return h2::kPreface + h2::Frame(h2::kSettings, 0, 0); }

}  // namespace

TEST_CASE("who gives no sign of life is hung up on, whether it ever spoke HTTP/2 or not") {
  CallerLimits limits;
  limits.keepalive = 300ms;
  limits.keepalive_timeout = 300ms;
  const World world(limits);
  const UniqueFd mute = world.Connect();
  const UniqueFd started = world.Connect();
  const UniqueFd in_a_frame = world.Connect();
  const UniqueFd in_a_call = world.Connect();
  REQUIRE(SendAll(started, Hello()));
  REQUIRE(SendAll(in_a_frame,
                  Hello() + h2::Frame(h2::kHeaders, 4, 1, std::string(100, 'x')).substr(0, 50)));
  REQUIRE(SendAll(in_a_call,
                  Hello() + h2::Frame(h2::kHeaders, h2::kEndHeaders, 1, h2::Block(Head(kCheck))) +
                      h2::Frame(h2::kData, 0, 1, Prefixed("12345").substr(0, 7))));
  CHECK(world.Serves());
  CHECK(IsHungUpOn(mute));
  CHECK(IsHungUpOn(started));
  CHECK(IsHungUpOn(in_a_frame));
  CHECK(IsHungUpOn(in_a_call));
}

TEST_CASE("connections of a user beyond the bound are closed at once, and there is room again") {
  CallerLimits limits;
  limits.connections_per_uid = 2;
  World world(limits);
  const UniqueFd first = world.Connect();
  UniqueFd second = world.Connect();
  REQUIRE(IsGreeted(first));
  REQUIRE(IsGreeted(second));
  CHECK(IsHungUpOn(world.Connect()));
  CHECK(world.metrics.Text().find("signet_agent_connections_refused_total 1\n") !=
        std::string::npos);
  CHECK(world.server.callers().connections() == 2);
  second.Reset();
  // The place is free when the server hears of it.
  CHECK(Eventually([&] { return IsGreeted(world.Connect()); }));
}

TEST_CASE("a thousand connections that say nothing keep nobody from being served") {
  rlimit descriptors{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &descriptors) == 0);
  if (descriptors.rlim_cur < 3000) {
    descriptors.rlim_cur = std::min<rlim_t>(descriptors.rlim_max, 3000);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &descriptors) == 0);
  }
  World world;
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 1000; ++i) silent.push_back(world.Connect());
  CHECK(world.Serves());
  CHECK(world.server.callers().connections() >= 1000);
  CHECK(world.server.callers().Connected().size() == 1);
  silent.clear();
  CHECK(Eventually([&] { return world.server.callers().connections() == 0; }));
}

TEST_CASE("floods of what costs nothing end their connection and no other") {
  World world;
  Http2Caller bystander = world.Call();
  std::string flood;
  for (int i = 0; i < 3000; ++i) flood += h2::Frame(h2::kPing, 0, 0, "12345678");
  Http2Caller pings = world.Call();
  pings.Send(flood);
  CHECK(pings.stream().WaitForEnd());
  flood.clear();
  for (std::uint32_t id = 1; id < 6000; id += 2)
    flood += h2::Frame(h2::kHeaders, h2::kEndHeaders, id, h2::Block(Head("/numbers"))) +
             h2::Frame(h2::kReset, 0, id, h2::Number(8, 4));
  Http2Caller resets = world.Call();
  resets.Send(flood);
  CHECK(resets.AwaitGoAway() == h2::kEnhanceYourCalm);
  CHECK(Eventually([&] { return world.server.callers().streams() == 0; }));
  bystander.Headers(1, Head(kCheck), false);
  bystander.Data(1, Prefixed(""));
  CHECK(bystander.Await(1).heads.back().at("grpc-status") == "0");
}

TEST_CASE("streams of a user beyond the bound are refused, and there is room again") {
  CallerLimits limits;
  limits.streams_per_uid = 1;
  World world(limits);
  Http2Caller first = world.Call(), second = world.Call();
  const auto open = [](Http2Caller& caller, std::uint32_t id) {
    caller.Headers(id, Head("/numbers"), false);
    caller.Data(id, Prefixed(""));
  };
  open(first, 1);
  REQUIRE(Eventually([&] { return world.composed == 1; }));
  open(second, 1);
  const auto refused = second.Await(1);
  CHECK(refused.heads.back().at("grpc-status") == "14");
  CHECK(refused.heads.back().at("grpc-message") == "too many streams of this user");
  first.Send(h2::Frame(h2::kReset, 0, 1, h2::Number(h2::kCancel, 4)));
  REQUIRE(Eventually([&] { return world.server.callers().streams() == 0; }));
  open(second, 3);
  CHECK(Eventually([&] { return world.composed == 2; }));
}

TEST_CASE("a caller that does not read costs one message, and hears what is so when it does") {
  World world;
  world.size = 1 << 20;
  Http2Caller caller = world.Call();
  caller.AnswerWindows(false);
  caller.Headers(1, Head("/numbers"), false);
  caller.Data(1, Prefixed(""));
  REQUIRE(Eventually([&] { return world.composed == 1; }));
  for (int i = 0; i < 50; ++i) world.hub.Wake();
  CHECK(world.Serves());  // so the hub has had its time
  world.hub.Wake();
  CHECK(world.composed == 1);
  world.size = 0;
  const std::string much = h2::Number(1 << 24, 4);
  caller.Send(h2::Frame(h2::kWindowUpdate, 0, 0, much) + h2::Frame(h2::kWindowUpdate, 0, 1, much));
  std::string body;
  while (const auto frame = caller.Next()) {
    if (frame->type == h2::kData) body += frame->payload;
    if (body.size() > (1 << 20) + 15U) break;
  }
  // The second message is small, and the last: what came meanwhile was merged into it.
  CHECK(body.find("\x01"
                  "2",
                  (1 << 20) + 5U) != std::string::npos);
  CHECK(world.composed == 2);
}

TEST_CASE("who never reads does not keep the socket from ending") {
  auto world = std::make_unique<World>();
  world->size = 1 << 20;
  Http2Caller caller = world->Call();
  caller.AnswerWindows(false);
  caller.Headers(1, Head("/numbers"), false);
  caller.Data(1, Prefixed(""));
  REQUIRE(Eventually([&] { return world->composed == 1; }));
  const auto begun = std::chrono::steady_clock::now();
  world.reset();
  CHECK(std::chrono::steady_clock::now() - begun < 10s);
  CHECK(caller.stream().WaitForEnd());
}

TEST_CASE("an end of the socket is told to who reads") {
  auto world = std::make_unique<World>();
  Http2Caller caller = world->Call();
  caller.Headers(1, Head("/numbers"), false);
  caller.Data(1, Prefixed(""));
  REQUIRE(Eventually([&] { return world->composed == 1; }));
  world.reset();
  const auto answer = caller.Await(1);
  CHECK(answer.heads.back().at("grpc-status") == "14");
  CHECK(answer.heads.back().at("grpc-message") == "the agent stops");
}

TEST_CASE("a subscription hears of requests that are none, of too many names, and of its end") {
  World world;
  Http2Caller caller = world.Call();
  const std::string path = std::string("/") + kSecretDiscovery + "/StreamSecrets";
  const auto status = [&](std::uint32_t id, const std::string& message, bool end) {
    caller.Headers(id, Head(path), false);
    const std::string bytes = message.empty() ? "" : Prefixed(message);
    for (std::size_t at = 0; at < bytes.size(); at += 16'000)
      caller.Data(id, bytes.substr(at, 16'000), false);
    if (end) caller.Data(id, "");
    return caller.Await(id).heads.back().at("grpc-status");
  };
  CHECK(status(1, "\xff\xff\xff", false) == "13");
  envoy::service::discovery::v3::DiscoveryRequest request;
  for (std::size_t i = 0; i <= kMaxSecretNames; ++i)
    request.add_resource_names("name" + std::to_string(i) + std::string(20, 'x'));
  REQUIRE(request.ByteSizeLong() > kQuickRequest);  // so it is read on another thread
  CHECK(status(3, request.SerializeAsString(), false) == "3");
  CHECK(status(5, "", true) == "0");
}

TEST_CASE("what is not there is said to be so, by service and by method") {
  World world;
  Http2Caller caller = world.Call();
  const auto message = [&](std::uint32_t id, const std::string& path) {
    caller.Headers(id, Head(path));
    const auto answer = caller.Await(id);
    CHECK(answer.heads.back().at("grpc-status") == "12");
    return answer.heads.back().at("grpc-message");
  };
  CHECK(message(1, "/grpc.health.v1.Health/Nope") ==
        "unknown method Nope for service grpc.health.v1.Health");
  CHECK(message(3, "/grpc.health.v1.Health/Watch") == "method Watch not implemented");
  CHECK(message(5, "/nope/Check") == "unknown service nope");
  CHECK(message(7, "/") == "malformed method name");
  CHECK(message(9, "nope") == "malformed method name");
}
