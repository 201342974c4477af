// CONNECT, where a listener passes it on: a tunnel to the configured upstream, never to what the
// request names.

#include "tests/support/http2_caller.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using test::Http2Caller;
namespace h2 = test::h2;

constexpr const char* kConnects = "connect: true";
constexpr const char* kRule =
    "{id: 'spiffe://example.org/shop', methods: [CONNECT], hosts: ['db.internal:5432']}";

std::string Connect(const std::string& authority, const std::string& more = "") {
  return fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n{1}\r\n", authority, more);
}

// Opens tunnels and echoes what goes in, or refuses and reads on; keeps the requests it saw.
class TunnelBackend {
 public:
  explicit TunnelBackend(std::string answer = "HTTP/1.1 200 Connected\r\nX-Proxy: yes\r\n\r\n")
      : answer_(std::move(answer)), backend_([this](StreamClient& stream) { Serve(stream); }) {}

  const net::SocketAddress& address() const { return backend_.address(); }
  std::uint64_t accepted() const { return backend_.accepted(); }
  std::vector<Message> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Serve(StreamClient& stream) {
    MessageReader reader(stream);
    while (const auto request = reader.Next()) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(*request);
      }
      if (!stream.Send(answer_)) return;
      if (answer_.find(" 200 ") == std::string::npos) continue;
      for (std::string one; !(one = reader.Raw(1)).empty();) stream.Send(one);
      break;
    }
    stream.CloseWrite();
  }

  const std::string answer_;
  std::mutex mutex_;
  std::vector<Message> requests_;
  TestBackend backend_;
};

// plain caller -> outbound -> mutual TLS -> inbound -> backend, both with CONNECT.
struct ConnectPair {
  explicit ConnectPair(const net::SocketAddress& backend, const std::string& rule = kRule)
      : inbound(HttpInboundYaml(backend, rule, kConnects)),
        outbound(fmt::format("outbound: [{{name: out, listen: '127.0.0.1:0', forward: '{}', "
                             "protocol: http, connect: true, expect: [{{id: '{}'}}]}}]\n",
                             inbound.proxy->ListenAddress(Direction::kInbound, "web")->ToString(),
                             kWeb)) {
    inbound.Become(kWeb);
    outbound.proxy->OnIdentity(
        MakeIdentity(1, kShop, inbound.root.Issue(kShop), {inbound.root.certificate()}));
  }
  StreamClient Call() { return outbound.Call("out", nullptr, Direction::kOutbound); }

  World inbound;
  World outbound;
};

TEST_CASE("CONNECT becomes a tunnel through two proxies, byte for byte, and ends with either end") {
  TunnelBackend backend;
  ConnectPair pair(backend.address());
  StreamClient caller = pair.Call();
  MessageReader reader(caller);
  REQUIRE(caller.Send(Connect("db.internal:5432", "X-Mine: 1\r\n") + "early"));
  const auto answer = reader.Next(true);
  REQUIRE(answer);
  CHECK(answer->start_line == "HTTP/1.1 200 Connected");
  CHECK(answer->Field("x-proxy") == "yes");
  CHECK_FALSE(answer->Has("content-length"));
  CHECK_FALSE(answer->Has("transfer-encoding"));
  CHECK(reader.Raw(5) == "early");
  const std::string bytes("\0\x16GET / HTTP/1.1\r\n\r\n", 20);
  REQUIRE(caller.Send(bytes));
  CHECK(reader.Raw(20) == bytes);
  CHECK(caller.CloseWrite());
  CHECK(reader.AtOrderlyEnd());
  REQUIRE(backend.requests().size() == 1);
  const Message request = backend.requests()[0];
  CHECK(request.start_line == "CONNECT db.internal:5432 HTTP/1.1");
  CHECK(request.Field("host") == "db.internal:5432");
  CHECK(request.Field("x-mine") == "1");
  CHECK(request.Field("signet-client-id") == kShop);
  CHECK_FALSE(request.Has("transfer-encoding"));
  CHECK(World::Eventually([&] {
    return pair.inbound.Series(
               R"(signet_proxy_requests_ended_total{direction="inbound",how="tunnelled",listener="web"})") ==
           1;
  }));
}

TEST_CASE("CONNECT over HTTP/2 is a tunnel of its stream, and other streams go on beside it") {
  TunnelBackend backend;
  ConnectPair pair(backend.address());
  Http2Caller caller(pair.Call());
  for (const std::uint32_t id : {1U, 3U}) {
    REQUIRE(
        caller.Headers(id, {{":method", "CONNECT"}, {":authority", "db.internal:5432"}}, false));
    REQUIRE(caller.Data(id, "early", false));
  }
  for (const std::uint32_t id : {3U, 1U}) {
    REQUIRE(caller.Data(id, std::string(20'000, 'x').substr(0, 16'000), false));
    REQUIRE(caller.Data(id, "last"));
    const auto answer = caller.Await(id);
    CHECK(answer.Status() == "200");
    CHECK(answer.body == "early" + std::string(16'000, 'x') + "last");
    CHECK(answer.ended);
  }
  CHECK(backend.requests().size() == 2);
  CHECK(backend.requests()[0].start_line == "CONNECT db.internal:5432 HTTP/1.1");
}

TEST_CASE("what is sent after a CONNECT that is refused reaches nobody") {
  TunnelBackend backend("HTTP/1.1 407 Nobody\r\nContent-Length: 2\r\n\r\nno");
  ConnectPair pair(backend.address());
  const std::string smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
  StreamClient caller = pair.Call();
  MessageReader reader(caller);
  REQUIRE(caller.Send(Connect("db.internal:5432") + smuggled));
  const auto answer = reader.Next();
  REQUIRE(answer);
  CHECK(answer->start_line == "HTTP/1.1 407 Nobody");
  CHECK(answer->body == "no");
  CHECK(answer->Field("connection") == "close");
  CHECK(reader.AtOrderlyEnd());
  Http2Caller http2(pair.Call());
  REQUIRE(http2.Headers(1, {{":method", "CONNECT"}, {":authority", "db.internal:5432"}}, false));
  REQUIRE(http2.Data(1, smuggled, false));
  CHECK(http2.Await(1).Status() == "407");
  CHECK(backend.requests().size() == 2);
}

TEST_CASE("attack 06: a rule decides CONNECT by its method and authority, and none is a refusal") {
  TunnelBackend backend, elsewhere;
  const std::string other = elsewhere.address().ToString();
  struct Case {
    const char* rule;
    std::string authority;
    const char* status;
  };
  const std::vector<Case> cases = {
      {kRule, "db.internal:5432", "200"},
      {kRule, "DB.internal:5432", "200"},
      {kRule, "db.internal:5433", "403"},
      {kRule, "db.internal.evil:5432", "403"},
      {kRule, "169.254.169.254:80", "403"},
      {kRule, other, "403"},
      {"{id: 'spiffe://example.org/shop', methods: [GET]}", "db.internal:5432", "403"},
      {"{id: 'spiffe://example.org/shop', paths: ['/*']}", "db.internal:5432", "403"},
      {"{id: 'spiffe://example.org/other', methods: [CONNECT]}", "db.internal:5432", "403"},
      // Allowed wherever to: it still goes to the configured backend and nowhere else.
      {"{id: 'spiffe://example.org/shop', methods: [CONNECT]}", other, "200"}};
  for (const Case& each : cases) {
    INFO(each.rule << " " << each.authority);
    World world(HttpInboundYaml(backend.address(), each.rule, kConnects));
    world.Become(kWeb);
    StreamClient caller = world.CallAs(kShop);
    REQUIRE(caller.Send(Connect(each.authority)));
    CHECK(MessageReader(caller).Next(true)->start_line.substr(9, 3) == each.status);
    Http2Caller http2(world.CallAs(kShop));
    REQUIRE(http2.Headers(1, {{":method", "CONNECT"}, {":authority", each.authority}}, false));
    REQUIRE(http2.Data(1, ""));
    CHECK(http2.Await(1).Status() == each.status);
  }
  CHECK(elsewhere.accepted() == 0);
}

TEST_CASE("attack 06: a CONNECT of more than one meaning is refused") {
  TunnelBackend backend;
  World world(HttpInboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}", kConnects));
  world.Become(kWeb);
  for (const std::string& request :
       {Connect("a:1", "Content-Length: 5\r\n") + "hello",
        Connect("a:1", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", Connect("a"),
        Connect("[::1]"), Connect(":80"), Connect("a:0"), Connect("u@a:1"), Connect("a:1/"),
        std::string("CONNECT a:1 HTTP/1.1\r\nHost: a:2\r\n\r\n"),
        std::string("CONNECT a:1 HTTP/1.1\r\n\r\n")}) {
    INFO(request);
    StreamClient caller = world.CallAs(kShop);
    REQUIRE(caller.Send(request));
    CHECK(MessageReader(caller).Next()->start_line == "HTTP/1.1 400 Bad Request");
  }
  const std::vector<h2::List> lists = {
      {{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}},
      {{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "http"}},
      {{":method", "CONNECT"}, {":authority", "a"}},
      {{":method", "CONNECT"}},
      {{":method", "CONNECT"}, {":authority", "a:1"}, {"content-length", "5"}},
      {{":method", "CONNECT"}, {":authority", "a:1"}, {"host", "a:2"}}};
  for (const h2::List& fields : lists) {
    Http2Caller caller(world.CallAs(kShop));
    REQUIRE(caller.Headers(1, fields, false));
    const auto answer = caller.Await(1);
    CHECK((answer.Status() == "400" || answer.reset));
  }
  CHECK(backend.accepted() == 0);
}

TEST_CASE("attack 24: a tunnel ends when rules no longer allow it") {
  TunnelBackend backend;
  World world(HttpInboundYaml(backend.address(), kRule, kConnects));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  MessageReader reader(caller);
  REQUIRE(caller.Send(Connect("db.internal:5432") + "x"));
  REQUIRE(reader.Next(true)->start_line.starts_with("HTTP/1.1 200"));
  REQUIRE(reader.Raw(1) == "x");
  REQUIRE(world.proxy->Apply(world.Read(HttpInboundYaml(
      backend.address(), "{id: 'spiffe://example.org/shop', methods: [GET]}", kConnects))));
  CHECK(caller.WaitForEnd());
}

}  // namespace
}  // namespace signet::proxy
