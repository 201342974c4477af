// Connections end by their age: HTTP finishes first, bytes are cut, and nothing outlives the SVID
// it was opened with.

#include <future>

#include "tests/support/http2_caller.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using test::Http2Caller;
namespace h2 = test::h2;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr const char* kAll = "{id: 'spiffe://example.org/*'}";
constexpr const char* kPatient =
    "limits: {idle: 20d, drain: 30s, http: {keep_alive: 20h, stream_idle: 20d, header_timeout: "
    "10m}}";

// Answers when it is told to.
struct Gated {
  Gated()
      : gate(open.get_future().share()), backend([this](const Message&) {
          gate.wait();
          return std::string(kOk);
        }) {}
  std::promise<void> open;
  std::shared_future<void> gate;
  ScriptedBackend backend;
};

CertifiedKey ShopUntil(const World& world, Duration left) {
  test::CertificateOptions options;
  options.uris = {kShop};
  options.not_after = world.clock.Now() + left;
  return world.root.Issue(options);
}

TEST_CASE("an HTTP/2 connection at its age is told GOAWAY, finishes, and ends") {
  Gated gated;
  World world(HttpInboundYaml(gated.backend.address(), kAll, "max_connection_age: 20s", kPatient));
  world.Become(kWeb);
  Http2Caller caller(world.CallAs(kShop));
  REQUIRE(caller.Headers(1, h2::Get()));
  REQUIRE(World::Eventually([&] { return gated.backend.requests().size() == 1; }));
  world.Advance(20s);
  const auto goaway = caller.AwaitGoAway();
  gated.open.set_value();
  CHECK(goaway == h2::kNoError);
  const auto answer = caller.Await(1);
  CHECK(answer.Status() == "200");
  CHECK(answer.body == "ok");
  CHECK(caller.stream().WaitForEnd());
  CHECK(caller.stream().end() == StreamEnd::kOrderly);
  CHECK(caller.stream().CloseWrite());
  CHECK(World::Eventually([&] { return world.Closed("max_age") == 1; }));
}

TEST_CASE("what has not finished when limits.drain is over since the GOAWAY is cut") {
  Gated gated;
  World world(HttpInboundYaml(gated.backend.address(), kAll, "max_connection_age: 20s", kPatient));
  world.Become(kWeb);
  Http2Caller caller(world.CallAs(kShop));
  REQUIRE(caller.Headers(1, h2::Get()));
  REQUIRE(World::Eventually([&] { return gated.backend.requests().size() == 1; }));
  world.Advance(20s);
  CHECK(caller.AwaitGoAway() == h2::kNoError);
  world.Advance(29s);
  CHECK(world.Closed("max_age") <= 0);
  world.Advance(1s);
  CHECK(World::Eventually([&] { return world.Closed("max_age") == 1; }));
  CHECK(caller.stream().WaitForEnd());
  CHECK(caller.Await(1).Status().empty());
  gated.open.set_value();
}

TEST_CASE("an HTTP/1.1 connection at its age is closed by its next answer") {
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(), kAll, "max_connection_age: 20s", kPatient));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  MessageReader reader(caller);
  REQUIRE(caller.Send(kGet));
  CHECK_FALSE(reader.Next()->Has("connection"));
  world.Advance(20s);
  // It is not closed under a caller that is about to ask.
  REQUIRE(caller.Send(kGet));
  const auto last = reader.Next();
  REQUIRE(last);
  CHECK(last->body == "ok");
  CHECK(last->Field("connection") == "close");
  CHECK(reader.AtOrderlyEnd());
  CHECK(caller.CloseWrite());
  CHECK(World::Eventually([&] { return world.Closed("max_age") == 1; }));
}

TEST_CASE("an idle HTTP/1.1 connection at its age is closed in order before it would be cut") {
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(), kAll, "max_connection_age: 20s", kPatient));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  MessageReader reader(caller);
  REQUIRE(caller.Send(kGet));
  REQUIRE(reader.Next());
  for (int i = 0; i < 9; ++i) {
    world.Advance(5s);
    world.proxy->Probe();  // what was due has run
    world.proxy->Probe();
  }
  CHECK(reader.AtOrderlyEnd());
}

TEST_CASE("TCP has no age unless one is configured, and is cut at it") {
  TestBackend backend(TestBackend::Echo);
  const auto yaml = [&](const std::string& listener) {
    return fmt::format(
        "inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', allow: [{}]{}}}]\n{}",
        backend.address().ToString(), kAll, listener, kPatient);
  };
  World world(yaml(""));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(test::Talks(caller));
  world.Advance(24h * 10);
  CHECK(test::Talks(caller));
  // A reload counts for what is carried already, at the next look.
  REQUIRE(world.proxy->Apply(world.Read(yaml(", max_connection_age: 1h"))));
  world.Advance(30s);
  CHECK(caller.WaitForEnd());
  CHECK(caller.end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return world.Closed("max_age") == 1; }));
  StreamClient next = world.CallAs(kShop);
  REQUIRE(test::Talks(next));
  world.Advance(1h);
  CHECK(next.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Closed("max_age") == 2; }));
}

TEST_CASE("HTTP finishes before its peer's SVID ends, which cuts what is left") {
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(), kAll, "max_connection_age: 10d", kPatient));
  world.Become(kWeb);
  const auto context = test::TrustingContext(ShopUntil(world, 1000s));
  StreamClient asks = world.Call("web", context);
  MessageReader reader(asks);
  REQUIRE(asks.Send(kGet));
  CHECK_FALSE(reader.Next()->Has("connection"));
  Http2Caller stays(world.Call("web", context));
  REQUIRE(stays.Headers(1, h2::Get()));
  CHECK(stays.Await(1).Status() == "200");
  world.Advance(899s);
  REQUIRE(asks.Send(kGet));
  CHECK_FALSE(reader.Next()->Has("connection"));
  world.Advance(51s);
  REQUIRE(asks.Send(kGet));
  CHECK(reader.Next()->Field("connection") == "close");
  CHECK(reader.AtOrderlyEnd());
  CHECK(stays.AwaitGoAway() == h2::kNoError);
}

TEST_CASE("upstream connections are replaced at their age, and no request fails of it") {
  ScriptedBackend backend(kOk);
  for (const char* version : {"http1", "http2"}) {
    INFO(version);
    World inbound(HttpInboundYaml(backend.address(), kAll));
    inbound.Become(kWeb);
    World outbound(fmt::format(
        "outbound: [{{name: out, listen: '127.0.0.1:0', forward: '{}', protocol: http, "
        "upstream_protocol: {}, max_connection_age: 20s, expect: [{{id: '{}'}}]}}]\n"
        "limits: {{drain: 30s, http: {{keep_alive: 20h, upstream_idle: 1h}}}}",
        inbound.proxy->ListenAddress(Direction::kInbound, "web")->ToString(), version, kWeb));
    outbound.proxy->OnIdentity(
        MakeIdentity(1, kShop, inbound.root.Issue(kShop), {inbound.root.certificate()}));
    StreamClient caller = outbound.Call("out", nullptr, Direction::kOutbound);
    MessageReader reader(caller);
    const auto opened = [&] {
      return inbound.Series(
          R"(signet_proxy_connections_opened_total{direction="inbound",listener="web"})");
    };
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 5; ++i) {
        REQUIRE(caller.Send(kGet));
        const auto answer = reader.Next();
        REQUIRE(answer);
        CHECK(answer->start_line == "HTTP/1.1 200 OK");
      }
      CHECK(opened() == round + 1);
      outbound.Advance(20s, "out", Direction::kOutbound);
      CHECK(World::Eventually([&] { return inbound.Active() == 0; }));
    }
  }
}

}  // namespace
}  // namespace signet::proxy
