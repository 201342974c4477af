// HTTP/2 between callers, proxies and backends, in every combination with HTTP/1.1, and what
// hostile frames come to.

#include "tests/support/http2_caller.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {

namespace h2 = test::h2;
using test::Http2Caller;
namespace {

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Answer: Yes\r\n\r\nok";
constexpr const char* kAllow = "{id: 'spiffe://example.org/*'}";

// An inbound listener before a scripted backend, called over TLS.
struct Http2World {
  explicit Http2World(ScriptedBackend::Answer answer, const std::string& more = "")
      : backend(std::move(answer)), world(HttpInboundYaml(backend.address(), kAllow, "", more)) {
    world.Become(kWeb);
  }
  explicit Http2World(std::string answer = kOk, const std::string& more = "")
      : Http2World([answer](const Message&) { return answer; }, more) {}
  StreamClient Call() { return world.CallAs(kShop); }

  ScriptedBackend backend;
  World world;
};

TEST_CASE("HTTP/2 to HTTP/1.1: heads, bodies and many streams at once") {
  Http2World world;
  Http2Caller caller(world.Call());
  for (std::uint32_t id = 1; id <= 39; id += 2) {
    h2::List fields = h2::Post("/p" + std::to_string(id));
    fields.push_back({"x-id", std::to_string(id)});
    REQUIRE(caller.Headers(id, fields, false));
    REQUIRE(caller.Data(id, "body" + std::to_string(id)));
  }
  for (std::uint32_t id = 1; id <= 39; id += 2) {
    const auto answer = caller.Await(id);
    CHECK(answer.Status() == "200");
    CHECK(answer.heads[0].at("x-answer") == "Yes");
    CHECK(answer.body == "ok");
    CHECK(answer.ended);
  }
  for (const Message& request : world.backend.requests()) {
    CHECK(request.start_line == "POST /p" + request.Field("x-id") + " HTTP/1.1");
    CHECK(request.body == "body" + request.Field("x-id"));
    CHECK(request.Field("host") == "a");
    CHECK(request.Field("signet-client-id") == kShop);
  }
  CHECK(world.backend.requests().size() == 20);
}

TEST_CASE("HTTP/2 to HTTP/1.1: no body, known length, HEAD, 204, interim answers, trailers") {
  Http2World world([](const Message& request) -> std::string {
    if (request.start_line.starts_with("HEAD"))
      return "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    if (request.start_line.find("/204") != std::string::npos)
      return "HTTP/1.1 204 No Content\r\n\r\n";
    if (request.start_line.find("/100") != std::string::npos)
      return std::string("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n") + kOk;
    if (request.start_line.find("/trailers") != std::string::npos)
      return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: "
             "3\r\n\r\n";
    return kOk;
  });
  Http2Caller caller(world.Call());
  caller.Headers(1,
                 {{":method", "HEAD"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}});
  const auto head = caller.Await(1);
  CHECK(head.heads[0].at("content-length") == "500");
  CHECK(head.body.empty());
  CHECK(head.ended);
  caller.Headers(3, h2::Get("/204"));
  CHECK(caller.Await(3).Status() == "204");
  caller.Headers(5, h2::Get("/100"));
  const auto interim = caller.Await(5);
  REQUIRE(interim.heads.size() == 2);
  CHECK(interim.heads[0].at(":status") == "103");
  CHECK(interim.Status() == "200");
  caller.Headers(7, h2::Post("/trailers"), false);
  caller.Data(7, "hello", false);
  caller.Headers(7, {{"x-check", "5"}, {"x-forwarded-client-cert", "forged"}});
  const auto trailers = caller.Await(7);
  REQUIRE(trailers.heads.size() == 2);
  CHECK(trailers.heads[1].at("x-sum") == "3");
  CHECK(world.backend.requests().back().trailers == std::vector<std::string>{"x-check: 5"});
  for (const h2::List& bad :
       {h2::List{{"authorization", "x"}}, h2::List{{"x", std::string(70'000, 'x')}}}) {
    Http2Caller other(world.Call());
    other.Headers(1, h2::Post(), false);
    other.Data(1, "hello", false);
    std::string block = h2::Block(bad);
    int type = h2::kHeaders, flags = h2::kEndStream;
    for (; !block.empty(); type = h2::kContinuation, flags = 0) {
      const std::string part = block.substr(0, 16384);
      block.erase(0, part.size());
      other.Send(h2::Frame(type, flags | (block.empty() ? h2::kEndHeaders : 0), 1, part));
    }
    CHECK(other.Await(1).Status() != "200");
  }
  h2::List sized = h2::Post("/sized");
  sized.push_back({"content-length", "5"});
  caller.Headers(9, sized, false);
  caller.Data(9, "hello");
  CHECK(caller.Await(9).Status() == "200");
  // Not the last one: those of before are cut off, and may be seen later.
  const auto requests = world.backend.requests();
  const auto received = std::ranges::find_if(requests, [](const Message& request) {
    return request.start_line.find("/sized") != std::string::npos;
  });
  REQUIRE(received != requests.end());
  CHECK(received->Field("content-length") == "5");
  CHECK_FALSE(received->Has("transfer-encoding"));
}

TEST_CASE(
    "HTTP/2: after the end of a connection was said, what still comes is dropped unanswered") {
  Http2World world;
  Http2Caller leaving(world.Call());
  REQUIRE(leaving.Headers(1, h2::Get()));
  CHECK(leaving.Await(1).Status() == "200");
  REQUIRE(leaving.Send(h2::Frame(h2::kGoAway, 0, 0, std::string(8, '\0'))));
  while (leaving.Next()) continue;
  CHECK(leaving.stream().end() == StreamEnd::kOrderly);
  REQUIRE(leaving.Send(h2::Frame(h2::kPing, 0, 0, std::string(8, 'p'))));
  leaving.stream().Drop();

  Http2Caller other(world.Call());
  REQUIRE(other.Headers(1, h2::Get()));
  CHECK(other.Await(1).Status() == "200");
}

TEST_CASE("HTTP/2 through two proxies, and on to an HTTP/2 backend") {
  ScriptedBackend backend(kOk);
  HttpPair far(backend.address());
  // The near pair's backend is the far pair's plain side, spoken to with HTTP/2.
  HttpPair near(far.address(), "upstream_protocol: http2");
  std::string body(300'000, 'x');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 19);
  for (const auto& address : {far.address(), near.address()}) {
    Http2Caller caller(StreamClient::Connect(address));
    REQUIRE(caller.Headers(1, h2::Get()));
    CHECK(caller.Await(1).body == "ok");
    REQUIRE(caller.Headers(3, h2::Post("/big"), false));
    // As much as the first window lets, in frames of 16 KiB.
    for (std::size_t at = 0; at < 65535; at += 16384)
      REQUIRE(caller.Data(3, body.substr(at, std::min<std::size_t>(16384, 65535 - at)),
                          at + 16384 >= 65535));
    CHECK(caller.Await(3).Status() == "200");
    CHECK(backend.requests().back().body == body.substr(0, 65535));
  }
  // HTTP/1.1 in, HTTP/2 out.
  StreamClient old = StreamClient::Connect(near.address());
  REQUIRE(old.Send(fmt::format("PUT /old HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}",
                               body.size(), body)));
  MessageReader reader(old);
  CHECK(reader.Next()->body == "ok");
  CHECK(backend.requests().back().body == body);
}

TEST_CASE("large answers pass with windows that open as the caller reads") {
  const std::string body(3'000'000, 'z');
  Http2World world(
      fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  Http2Caller caller(world.Call());
  caller.Headers(1, h2::Get());
  CHECK(caller.Await(1).body == body);
}

TEST_CASE(
    "attack 15: what HTTP/1.1 would read in another way is refused, and the backend sees nothing") {
  Http2World world;
  const auto with = [](std::initializer_list<std::pair<std::string, std::string>> more) {
    h2::List fields = h2::Post();
    fields.insert(fields.end(), more);
    return fields;
  };
  const std::vector<h2::List> bad = {
      with({{"x", "a\r\nX-Smuggled: b"}}),
      with({{"x", "a\nb"}}),
      with({{"x", std::string("a\0b", 3)}}),
      with({{"x y", "a"}}),
      with({{"x:y", "a"}}),
      with({{"x\r\ny", "a"}}),
      with({{"X-Upper", "a"}}),
      with({{"", "a"}}),
      with({{"x", " a"}}),
      with({{"x", "a "}}),
      with({{"transfer-encoding", "chunked"}}),
      with({{"connection", "close"}}),
      with({{"keep-alive", "1"}}),
      with({{"upgrade", "websocket"}}),
      with({{"proxy-connection", "x"}}),
      with({{"te", "gzip"}}),
      with({{"content-length", "1"}, {"content-length", "2"}}),
      with({{"content-length", "+5"}}),
      with({{"content_length", "5"}}),
      with({{"host", "b"}}),
      with({{"host", "a"}, {"host", "b"}}),
      with({{":path", "/second"}}),
      with({{"x", "1"}, {":method", "GET"}}),
      {{":method", "GET"},
       {":scheme", "http"},
       {":authority", "a"},
       {":path", "/ HTTP/1.1\r\nX: y"}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/a b"}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "a"}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "http://b/"}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", ""}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}},
      {{":method", "G T"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}},
      {{":method", "GET"}, {":scheme", "ftp"}, {":authority", "a"}, {":path", "/"}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "u@a"}, {":path", "/"}},
      {{":method", "CONNECT"}, {":authority", "a:1"}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {":odd", "x"}},
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    INFO("head " << i);
    Http2Caller caller(world.Call());
    REQUIRE(caller.Headers(1, bad[i]));
    const auto answer = caller.Await(1);
    const std::string status = answer.Status();
    CHECK((answer.reset.has_value() || status == "400" || status == "405" || caller.AwaitGoAway()));
    CHECK(status != "200");
  }
  CHECK(world.backend.requests().empty());
}

TEST_CASE("attack 15: a length that the frames do not keep is a stream error") {
  Http2World world;
  for (const char* length : {"3", "10"}) {
    Http2Caller caller(world.Call());
    h2::List fields = h2::Post();
    fields.push_back({"content-length", length});
    caller.Headers(1, fields, false);
    caller.Data(1, "hello");
    const auto answer = caller.Await(1);
    CHECK(answer.Status() != "200");
  }
}

TEST_CASE("attack 09 and 13: fields are charged one by one, whatever they took on the wire") {
  Http2World world(kOk, "limits: {http: {header_fields: 64, header_bytes: 8192}}");
  Http2Caller caller(world.Call());
  h2::List crumbs = h2::Get();
  for (int i = 0; i < 80; ++i) crumbs.push_back({"cookie", "c"});
  caller.Headers(1, crumbs);
  CHECK(caller.Await(1).Status() == "431");
  // One entry put into the table, then thousands of references of one byte each.
  const std::string seed =
      std::string(1, '\x40') + h2::Length(6) + "x-bomb" + h2::Length(4000) + std::string(4000, 'b');
  caller.Send(h2::Frame(h2::kHeaders, h2::kEndHeaders | h2::kEndStream, 3,
                        h2::Block(h2::Get()) + seed + std::string(8000, '\xbe')));
  const auto bomb = caller.Await(3);
  CHECK((bomb.Status() == "431" || bomb.reset));
  // The connection's table is intact.
  caller.Headers(5, h2::Get());
  CHECK(caller.Await(5).Status() == "200");
}

TEST_CASE("attack 10: rapid resets end the connection with ENHANCE_YOUR_CALM") {
  Http2World world;
  Http2Caller caller(world.Call());
  std::string flood;
  for (std::uint32_t id = 1; id < 4000; id += 2)
    flood += h2::Frame(h2::kHeaders, h2::kEndHeaders | h2::kEndStream, id, h2::Block(h2::Get())) +
             h2::Frame(h2::kReset, 0, id, h2::Number(h2::kCancel, 4));
  caller.Send(flood);
  CHECK(caller.AwaitGoAway() == h2::kEnhanceYourCalm);
  CHECK(world.backend.requests().size() < 400);
}

TEST_CASE("attack 11: frames that make this end reset count like resets") {
  Http2World world;
  Http2Caller caller(world.Call());
  std::string flood;
  for (std::uint32_t id = 1; id < 4000; id += 2)
    flood += h2::Frame(h2::kHeaders, h2::kEndHeaders, id, h2::Block(h2::Post())) +
             h2::Frame(h2::kWindowUpdate, 0, id, h2::Number(0, 4));
  caller.Send(flood);
  const auto error = caller.AwaitGoAway();
  REQUIRE(error);
  CHECK(*error != h2::kNoError);
}

TEST_CASE("attack 12: endless CONTINUATION ends the connection early") {
  Http2World world;
  Http2Caller caller(world.Call());
  caller.Send(h2::Frame(h2::kHeaders, h2::kEndStream, 1, h2::Block(h2::Get())));
  bool sent = true;
  int frames = 0;
  for (; sent && frames < 2000; ++frames)
    sent = caller.Send(
        h2::Frame(h2::kContinuation, 0, 1, frames % 2 == 0 ? "" : h2::Literal("x", "y")));
  const auto error = caller.AwaitGoAway();
  CHECK((!error || *error != h2::kNoError));
  CHECK(caller.stream().end() != StreamEnd::kOpen);
  CHECK(world.backend.requests().empty());
}

TEST_CASE("attack 14: floods of what costs nothing end the connection") {
  Http2World world;
  const std::vector<std::string> cheap = {
      h2::Frame(h2::kPing, 0, 0, std::string(8, 'p')),
      h2::Frame(h2::kSettings, 0, 0),
      h2::Frame(h2::kPriority, 0, 9, h2::Number(0, 5)),
  };
  for (const std::string& frame : cheap) {
    Http2Caller caller(world.Call());
    std::string flood;
    for (int i = 0; i < 3000; ++i) flood += frame;
    caller.Send(flood);
    const auto error = caller.AwaitGoAway();
    CHECK((!error || *error != h2::kNoError));
  }
  Http2Caller empty(world.Call());
  empty.Headers(1, h2::Post(), false);
  std::string flood;
  for (int i = 0; i < 3000; ++i) flood += h2::Frame(h2::kData, 0, 1);
  empty.Send(flood);
  const auto error = empty.AwaitGoAway();
  CHECK((!error || *error != h2::kNoError));
}

TEST_CASE("attack 14: broken frames are connection errors") {
  Http2World world;
  const std::vector<std::string> broken = {
      h2::Frame(h2::kHeaders, h2::kEndHeaders | h2::kEndStream, 2,
                h2::Block(h2::Get())),  // even id
      h2::Frame(h2::kHeaders, h2::kEndHeaders | h2::kEndStream, 0, h2::Block(h2::Get())),
      h2::Frame(h2::kData, 0, 1, "idle stream"),
      h2::Frame(h2::kWindowUpdate, 0, 0, h2::Number(0x7fffffffU, 4)),
      h2::Frame(h2::kWindowUpdate, 0, 0, h2::Number(0, 4)),
      h2::Frame(h2::kSettings, 0, 0, "odd"),
      h2::Frame(h2::kSettings, 0, 0, std::string("\0\x04\xff\xff\xff\xff", 6)),
      h2::Frame(h2::kContinuation, h2::kEndHeaders, 1, ""),
      h2::Frame(h2::kHeaders, h2::kEndHeaders | h2::kEndStream, 1, "\xff\xff\xff\xff\xff\xff\xff"),
      h2::Number(1 << 20, 3) + std::string(1, '\0') + std::string(1, '\0') + h2::Number(1, 4),
  };
  for (std::size_t i = 0; i < broken.size(); ++i) {
    INFO("frame " << i);
    Http2Caller caller(world.Call());
    caller.Send(broken[i]);
    const auto error = caller.AwaitGoAway();
    CHECK((!error || *error != h2::kNoError));
  }
  CHECK(world.backend.requests().empty());
}

TEST_CASE("attack 16: streams beyond the limit are refused, those within it are served") {
  std::promise<void> may_answer;
  auto gate = may_answer.get_future().share();
  Http2World world(
      [gate](const Message&) {
        gate.wait();
        return std::string(kOk);
      },
      "limits: {http: {streams: 4}}");
  Http2Caller caller(world.Call());
  // Before this end has read of the limit.
  for (std::uint32_t id = 1; id <= 13; id += 2) caller.Headers(id, h2::Get());
  const auto refused = caller.Await(13);
  may_answer.set_value();
  REQUIRE(refused.reset);
  CHECK(*refused.reset == h2::kRefused);
  for (std::uint32_t id = 1; id <= 7; id += 2) CHECK(caller.Await(id).Status() == "200");
}

TEST_CASE(
    "attack 17: gRPC over HTTP/2: a refusal is trailers alone, a broken backend is UNAVAILABLE") {
  Http2World world(std::string(""));  // closes without an answer
  Http2Caller caller(world.Call());
  h2::List grpc = h2::Post("/a.B/C");
  grpc.push_back({"content-type", "application/grpc"});
  grpc.push_back({"te", "trailers"});
  caller.Headers(1, grpc, false);
  caller.Data(1, std::string("\0\0\0\0\0", 5));
  const auto broken = caller.Await(1);
  REQUIRE(broken.heads.size() == 1);
  CHECK(broken.heads[0].at("grpc-status") == "14");
  CHECK(broken.ended);
  CHECK(world.backend.requests()[0].Field("te") == "trailers");

  ScriptedBackend unheard(kOk);
  World closed(HttpInboundYaml(unheard.address(), ""));
  closed.Become(kWeb);
  Http2Caller stranger(closed.CallAs(kShop));
  stranger.Headers(1, grpc, false);
  const auto refused = stranger.Await(1);
  REQUIRE(refused.heads.size() == 1);
  CHECK(refused.heads[0].at(":status") == "200");
  CHECK(refused.heads[0].at("grpc-status") == "7");
  CHECK(refused.heads[0].at("content-type") == "application/grpc");
  CHECK(refused.ended);
  CHECK(unheard.accepted() == 0);
}

TEST_CASE("a reset by the caller reaches the backend, one by the backend the caller") {
  std::promise<void> asked;
  std::promise<StreamEnd> ended;
  TestBackend waiting([&](StreamClient& stream) {
    MessageReader(stream).Next();
    asked.set_value();
    stream.ReceiveToEnd();
    ended.set_value(stream.end());
  });
  World world(HttpInboundYaml(waiting.address(), kAllow));
  world.Become(kWeb);
  Http2Caller caller(world.CallAs(kShop));
  caller.Headers(1, h2::Get());
  asked.get_future().wait();
  caller.Send(h2::Frame(h2::kReset, 0, 1, h2::Number(h2::kCancel, 4)));
  CHECK(ended.get_future().get() != StreamEnd::kTimedOut);

  TestBackend breaking([](StreamClient& stream) {
    stream.ReceiveSome(4096);
    stream.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    stream.Drop();
  });
  World broken(HttpInboundYaml(breaking.address(), kAllow));
  broken.Become(kWeb);
  Http2Caller other(broken.CallAs(kShop));
  other.Headers(1, h2::Get());
  CHECK(other.Await(1).reset.has_value());
}

TEST_CASE("attack 13: a stalled window bounds what is taken from backends, and the stream ends") {
  std::atomic<std::size_t> sent{0};
  TestBackend backend([&](StreamClient& stream) {
    MessageReader reader(stream);
    if (!reader.Next()) return;
    stream.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const std::string part(1U << 16, 'x');
    while (stream.Send(part)) sent += part.size();
  });
  World world(HttpInboundYaml(backend.address(), kAllow, "", "limits: {http: {stream_idle: 30s}}"));
  world.Become(kWeb);
  // An initial window of nothing.
  Http2Caller caller(world.CallAs(kShop), std::string("\0\x04\0\0\0\0", 6));
  for (std::uint32_t id = 1; id < 40; id += 2) caller.Headers(id, h2::Get());
  REQUIRE(World::Eventually([&] { return backend.accepted() == 20; }));
  std::size_t last = 0;
  REQUIRE(World::Eventually([&] {  // until it stands still
    const std::size_t before = std::exchange(last, sent.load());
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    return before == last;
  }));
  for (int i = 0; i < 9; ++i) world.Advance(std::chrono::seconds(5));
  CHECK(caller.Await(1).reset.has_value());
}

TEST_CASE("a drain says GOAWAY, finishes what is open and then ends") {
  std::promise<void> may_answer;
  auto gate = may_answer.get_future().share();
  Http2World world([gate](const Message&) {
    gate.wait();
    return std::string(kOk);
  });
  Http2Caller caller(world.Call());
  caller.Headers(1, h2::Get());
  World::Eventually([&] { return world.backend.requests().size() == 1; });
  std::promise<void> drained;
  world.world.proxy->BeginDrain([&] { drained.set_value(); });
  const auto goaway = caller.AwaitGoAway();
  may_answer.set_value();
  CHECK(goaway == h2::kNoError);
  CHECK(caller.Await(1).Status() == "200");
  CHECK(caller.stream().WaitForEnd());
  caller.stream().Drop();
  CHECK(drained.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready);
}

}  // namespace
}  // namespace signet::proxy
