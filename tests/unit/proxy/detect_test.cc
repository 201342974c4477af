// Listeners that find out what is spoken on them.

#include "tests/support/http2_caller.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using test::Http2Caller;
using test::Talks;
namespace h2 = test::h2;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* kGet = "GET /open HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr const char* kAll = "{id: 'spiffe://example.org/*'}";
constexpr const char* kOpen = "{id: 'spiffe://example.org/*', paths: [/open]}";
constexpr const char* kTimeout = "limits: {detect_timeout: 1s}";

std::string Detects(const net::SocketAddress& backend, const std::string& rules) {
  return fmt::format(
      "inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', protocol: detect, "
      "allow: [{}]}}]\n{}",
      backend.ToString(), rules, kTimeout);
}

TEST_CASE("detect: HTTP is carried as HTTP, in one piece, in bytes, by preface and by ALPN") {
  ScriptedBackend backend(kOk);
  World world(Detects(backend.address(), kAll));
  world.Become(kWeb);
  for (const std::size_t piece : {100UL, 1UL}) {
    StreamClient caller = world.CallAs(kShop);
    for (std::string rest = kGet; !rest.empty(); rest.erase(0, std::min(piece, rest.size())))
      REQUIRE(caller.Send(rest.substr(0, piece)));
    CHECK(MessageReader(caller).Next()->body == "ok");
  }
  Http2Caller preface(world.CallAs(kShop));
  REQUIRE(preface.Headers(1, h2::Get()));
  CHECK(preface.Await(1).body == "ok");
  World near(HttpOutboundYaml(*world.proxy->ListenAddress(Direction::kInbound, "web")));
  near.proxy->OnIdentity(
      MakeIdentity(1, kShop, world.root.Issue(kShop), {world.root.certificate()}));
  Http2Caller alpn(near.Call("out", nullptr, Direction::kOutbound));
  REQUIRE(alpn.Headers(1, h2::Get()));
  CHECK(alpn.Await(1).body == "ok");
  REQUIRE(backend.requests().size() == 4);
  for (const Message& request : backend.requests())
    CHECK(request.Field("signet-client-id") == kShop);
}

TEST_CASE("detect: other bytes are carried as they came, also those of who speaks second") {
  TestBackend echo(TestBackend::Echo);
  World world(Detects(echo.address(), kAll));
  world.Become(kWeb);
  std::string hello("\x16\x03\x01", 3);
  for (int i = 0; i < 100'000; ++i) hello.push_back(static_cast<char>(i % 251));
  for (const std::string& bytes : {std::string("SSH-2.0-x\r\nmore"), hello}) {
    StreamClient caller = world.CallAs(kShop);
    REQUIRE(caller.Send(bytes));
    CHECK(caller.Receive(bytes.size()) == bytes);
    CHECK(caller.CloseWrite());
    CHECK(caller.WaitForEnd());
    CHECK(caller.end() == StreamEnd::kOrderly);
  }
  TestBackend greets([](StreamClient& stream) {
    stream.Send("220 ready\r\n");
    TestBackend::Echo(stream);
  });
  REQUIRE(world.proxy->Apply(world.Read(Detects(greets.address(), kAll))));
  StreamClient waits = world.CallAs(kShop);
  REQUIRE(World::Eventually([&] {
    return world.Series(
               R"(signet_proxy_handshakes_total{direction="inbound",listener="web",result="ok"})") ==
           3;
  }));
  CHECK(greets.accepted() == 0);
  world.Advance(1s);
  CHECK(waits.Receive(11) == "220 ready\r\n");
  CHECK(Talks(waits));
  // Who only ends is passed on as well.
  StreamClient ends = world.CallAs(kShop);
  CHECK(ends.CloseWrite());
  CHECK(ends.ReceiveToEnd() == "220 ready\r\n");
  CHECK(ends.end() == StreamEnd::kOrderly);
}

TEST_CASE(
    "attack 23: where rules ask for HTTP what is none is refused, and never passed as bytes") {
  TestBackend backend(TestBackend::Echo);
  World world(Detects(backend.address(), kOpen));
  world.Become(kWeb);
  int refused = 0;
  for (const std::string& bytes :
       {std::string("SSH-2.0-x\r\n"), std::string("\x16\x03\x01\x00\x05", 5), std::string("\0", 1),
        std::string("GET /open\r\n"),
        std::string("PING\r\nGET /open HTTP/1.1\r\nHost: a\r\n\r\n")}) {
    INFO(bytes);
    StreamClient caller = world.CallAs(kShop);
    caller.Send(bytes);
    CHECK(caller.WaitForEnd());
    ++refused;
    CHECK(World::Eventually([&] { return world.Refused("not_http") == refused; }));
  }
  // Silence, and a line that stays unfinished, are refused when their time is over.
  for (const char* bytes : {"", "G", "GET /open HT", "PRI * HTTP/2.0\r\n\r\nSM"}) {
    INFO(bytes);
    StreamClient caller = world.CallAs(kShop);
    caller.Send(bytes);
    REQUIRE(World::Eventually([&] { return world.proxy->LiveConnections().size() == 1; }));
    CHECK(world.proxy->LiveConnections()[0].phase == "detecting");
    world.Advance(1s);
    CHECK(caller.WaitForEnd());
    ++refused;
    CHECK(World::Eventually([&] { return world.Refused("not_http") == refused; }));
  }
  // What is nearly HTTP comes before the strict parser.
  for (const char* bytes :
       {"GET /open HTTP/1.1\nHost: a\n\n", " GET /open HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x80 /open HTTP/1.1\r\n\r\n"}) {
    INFO(bytes);
    StreamClient caller = world.CallAs(kShop);
    caller.Send(bytes);
    CHECK(caller.WaitForEnd());
  }
  CHECK(backend.accepted() == 0);
}

TEST_CASE("detect: requests are judged by their rules, connections by theirs") {
  ScriptedBackend backend(kOk);
  World world(Detects(backend.address(), kOpen));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  MessageReader reader(caller);
  REQUIRE(caller.Send(kGet));
  CHECK(reader.Next()->start_line == "HTTP/1.1 200 OK");
  REQUIRE(caller.Send("GET /closed HTTP/1.1\r\nHost: a\r\n\r\n"));
  CHECK(reader.Next()->start_line == "HTTP/1.1 403 Forbidden");
  World closed(Detects(backend.address(), "{id: 'spiffe://example.org/admin'}"));
  closed.Become(kWeb);
  StreamClient stranger = closed.CallAs(kShop);
  CHECK(stranger.WaitForEnd());
  CHECK(World::Eventually([&] { return closed.Refused("not_allowed") == 1; }));
}

TEST_CASE("attack 24: bytes that are carried are cut when rules begin to ask for HTTP") {
  TestBackend backend(TestBackend::Echo);
  World world(Detects(backend.address(), kAll));
  world.Become(kWeb);
  StreamClient bytes = world.CallAs(kShop);
  REQUIRE(bytes.Send("x\n"));
  REQUIRE(bytes.Receive(2) == "x\n");
  SECTION("rules of a listener that finds out") {
    REQUIRE(world.proxy->Apply(world.Read(Detects(backend.address(), kOpen))));
  }
  SECTION("a listener that carries HTTP only") {
    REQUIRE(world.proxy->Apply(world.Read(HttpInboundYaml(backend.address(), kAll))));
  }
  CHECK(bytes.WaitForEnd());
  CHECK(bytes.end() == StreamEnd::kBroken);
  CHECK(world.Closed("policy_changed") == 1);
}

TEST_CASE("detect: outbound, HTTP and bytes each go to the peer as what they are") {
  ScriptedBackend web(kOk);
  TestBackend echo(TestBackend::Echo);
  World inbound(Detects(web.address(), kAll));
  inbound.Become(kWeb);
  World outbound(fmt::format(
      "outbound: [{{name: out, listen: '127.0.0.1:0', forward: '{}', protocol: detect, "
      "expect: [{}]}}]\n{}",
      inbound.proxy->ListenAddress(Direction::kInbound, "web")->ToString(), kAll, kTimeout));
  outbound.proxy->OnIdentity(
      MakeIdentity(1, kShop, inbound.root.Issue(kShop), {inbound.root.certificate()}));
  StreamClient http = outbound.Call("out", nullptr, Direction::kOutbound);
  REQUIRE(http.Send(kGet));
  CHECK(MessageReader(http).Next()->body == "ok");
  Http2Caller http2(outbound.Call("out", nullptr, Direction::kOutbound));
  REQUIRE(http2.Headers(1, h2::Get()));
  CHECK(http2.Await(1).body == "ok");
  REQUIRE(inbound.proxy->Apply(inbound.Read(Detects(echo.address(), kAll))));
  StreamClient bytes = outbound.Call("out", nullptr, Direction::kOutbound);
  REQUIRE(bytes.Send("hello\n"));
  CHECK(bytes.Receive(6) == "hello\n");
  StreamClient silent = outbound.Call("out", nullptr, Direction::kOutbound);
  REQUIRE(World::Eventually([&] { return outbound.proxy->connections() == 4; }));
  outbound.Advance(1s, "out", Direction::kOutbound);
  REQUIRE(silent.Send("x\n"));
  CHECK(silent.Receive(2) == "x\n");
}

}  // namespace
}  // namespace signet::proxy
