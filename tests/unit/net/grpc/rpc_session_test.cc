// A session frame by frame: what calls come of what a peer sends, and what the peer hears.
#include "net/grpc/rpc_session.h"

#include "base/bytes.h"
#include "tests/unit/net/grpc/rpc_world.h"

namespace signet::net {

TEST_CASE("a call is answered with head, message and trailers, and is over then") {
  SessionWorld world;
  world.Receive(CallFrames(1, "/echo", "hello"));
  const auto answer = world.Answer(1);
  CHECK(answer.Status() == "200");
  CHECK(answer.heads.front().at("content-type") == "application/grpc");
  CHECK(answer.body == Prefixed("hello"));
  CHECK(answer.heads.back().at("grpc-status") == "0");
  CHECK(answer.heads.size() == 2);
  CHECK(answer.ended);
  CHECK_FALSE(answer.reset);
  CHECK(world.handler().messages == std::vector<std::string>{"hello"});
  CHECK(world.handler().half_closes == 1);
  CHECK(world.handler().over == 1);
  CHECK(world.session.calls() == 0);
}

TEST_CASE("many messages in one frame, and one in many frames, are the same messages") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/echo")));
  world.Receive(DataFrame(1, Prefixed("a") + Prefixed("") + Prefixed("ccc"), true));
  const std::string long_message(20'000, 'x');
  world.Receive(HeadersFrame(3, RpcHead("/echo")));
  for (const char c : Prefixed(long_message)) world.Receive(DataFrame(3, {c}));
  world.Receive(DataFrame(3, "", true));
  CHECK(world.StatusOf(1) == "0");
  CHECK(world.StatusOf(3) == "0");
  CHECK(world.handler(0).messages == std::vector<std::string>{"a", "", "ccc"});
  CHECK(world.handler(1).messages == std::vector<std::string>{long_message});
}

TEST_CASE("a message of 16 MiB passes windows that are smaller, both ways") {
  SessionWorld world;
  std::string bytes = Prefixed(std::string(std::size_t{16} << 20, 'm'));
  const std::string wanted = bytes;
  world.Receive(HeadersFrame(1, RpcHead("/once")));
  // As much as the windows allow, as a peer does that keeps to them.
  std::int64_t connection = 65535, stream = 256 * 1024;
  while (!bytes.empty()) {
    world.Exchange();
    connection += std::exchange(world.reader.windows()[0], 0);
    stream += std::exchange(world.reader.windows()[1], 0);
    const std::size_t count =
        std::min({bytes.size(), std::size_t{16384}, static_cast<std::size_t>(connection),
                  static_cast<std::size_t>(stream)});
    REQUIRE(count > 0);
    world.Receive(DataFrame(1, bytes.substr(0, count), count == bytes.size()));
    bytes.erase(0, count);
    connection -= static_cast<std::int64_t>(count);
    stream -= static_cast<std::int64_t>(count);
  }
  CHECK(world.StatusOf(1) == "0");
  CHECK(world.reader.answers()[1].body == wanted);
}

TEST_CASE("a handler that does not read stops its own call at a window, and no other") {
  SessionWorld world;
  world.Exchange();
  const std::string block(16'000, 'b');
  for (std::uint32_t id = 1; id <= 9; id += 2) {  // five windows are more than the connection's
    world.Receive(HeadersFrame(id, RpcHead("/wait")));
    world.Receive(DataFrame(id, Prefixed("first")));
    for (int i = 0; i < 16; ++i) world.Receive(DataFrame(id, Prefixed(block)));
    world.Exchange();
    CHECK(world.reader.windows()[id] < 1000);
  }
  world.Receive(CallFrames(11, "/echo", "passes"));
  CHECK(world.StatusOf(11) == "0");
  TestHandler& first = world.handler();
  CHECK(first.messages.empty());
  for (int i = 0; i < 17; ++i) first.call->Read();
  CHECK(first.messages.size() == 17);
  world.Exchange();
  CHECK(world.reader.windows()[1] >= 128 * 1024);
}

TEST_CASE("a message comes when it is asked for, one for each time") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/wait")));
  TestHandler& handler = world.handler();
  handler.call->Read();
  handler.call->Read();  // before the answer: changes nothing
  world.Receive(DataFrame(1, Prefixed("a") + Prefixed("b"), true));
  CHECK(handler.messages == std::vector<std::string>{"a"});
  handler.call->Read();
  CHECK(handler.messages == std::vector<std::string>{"a", "b"});
  CHECK(handler.half_closes == 0);
  handler.call->Read();
  CHECK(handler.half_closes == 1);
}

TEST_CASE("the end of a request counts in HEADERS, on DATA and on an empty frame") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/echo"), true));
  world.Receive(HeadersFrame(3, RpcHead("/echo")) + DataFrame(3, "", true));
  world.Receive(HeadersFrame(5, RpcHead("/echo")) +
                h2::Frame(h2::kData, h2::kEndStream | 8, 5, std::string("\x02\0\0", 3)));
  world.Receive(HeadersFrame(7, RpcHead("/echo")) + HeadersFrame(7, {{"x-trailer", "1"}}, true));
  for (const std::uint32_t id : {1U, 3U, 5U, 7U}) CHECK(world.StatusOf(id) == "0");
  for (const auto& handler : world.service.handlers) {
    CHECK(handler->messages.empty());
    CHECK(handler->half_closes == 1);
  }
}

TEST_CASE("a message that is cut, compressed, flagged or too long ends its call unseen") {
  RpcLimits limits;
  limits.message_bytes = 100;
  SessionWorld world(limits);
  const auto send = [&](std::uint32_t id, const std::string& bytes) {
    world.Receive(HeadersFrame(id, RpcHead("/echo")) + DataFrame(id, bytes, true));
    return world.StatusOf(id);
  };
  CHECK(send(1, Prefixed("whole").substr(0, 7)) == "13");
  CHECK(send(3, Prefixed("whole").substr(0, 3)) == "13");
  std::string compressed = Prefixed("zip"), odd = Prefixed("odd");
  compressed[0] = 1;
  odd[0] = 2;
  CHECK(send(5, compressed) == "12");
  CHECK(send(7, odd) == "13");
  CHECK(send(9, Prefixed(std::string(101, 'x'))) == "8");
  CHECK(send(11, Prefixed("good") + compressed) == "12");
  CHECK(send(13, Prefixed(std::string(100, 'x'))) == "0");
  for (std::size_t i = 0; i < 5; ++i) CHECK(world.handler(i).messages.empty());
  CHECK(world.handler(5).messages == std::vector<std::string>{"good"});
  for (const auto& handler : world.service.handlers) CHECK(handler->over == 1);
}

TEST_CASE("a call that is refused at once is answered by trailers alone, and its rest not wanted") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/refused")));
  const auto& answer = world.Answer(1);
  REQUIRE(answer.heads.size() == 1);
  CHECK(answer.Status() == "200");
  CHECK(answer.heads[0].at("grpc-status") == "7");
  CHECK(answer.heads[0].at("grpc-message") == "100%25 %C3%BC%0A");
  CHECK(DecodeBase64(answer.heads[0].at("grpc-status-details-bin")) ==
        Bytes{'d', 'e', 't', 'a', 'i', 'l', 's'});
  CHECK(answer.reset == h2::kNoError);
  CHECK(world.handler().over == 1);
  world.Receive(DataFrame(1, Prefixed("late"), true));
  world.Receive(CallFrames(3, "/echo", "next"));
  CHECK(world.StatusOf(3) == "0");
}

TEST_CASE("who is to stay away for a while hears for how long, with and without an answer before") {
  SessionWorld world;
  for (const std::uint32_t id : {1U, 3U}) world.Receive(HeadersFrame(id, RpcHead("/wait"), true));
  world.handler(1).call->Send("some");
  for (const std::size_t i : {0U, 1U})
    world.handler(i).call->Finish({8, "busy", {}, std::chrono::milliseconds(1500)});
  for (const std::uint32_t id : {1U, 3U}) {
    CHECK(world.StatusOf(id) == "8");
    CHECK(world.Answer(id).heads.back().at("grpc-retry-pushback-ms") == "1500");
  }
  world.Receive(CallFrames(5, "/echo", "next"));
  CHECK_FALSE(world.Answer(5).heads.back().contains("grpc-retry-pushback-ms"));
}

TEST_CASE("a status with details or a message beyond what clients take is still answered") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/wait"), true));
  world.handler().call->Finish({2, std::string(100'000, '%'), std::string(100'000, 'd')});
  const auto& answer = world.Answer(1);
  REQUIRE(answer.ended);
  std::size_t bytes = 0;
  for (const auto& [name, value] : answer.heads.back()) bytes += name.size() + value.size() + 32;
  CHECK(bytes < 8192);
  CHECK(answer.heads.back().at("grpc-status") == "2");
}

TEST_CASE("what is no gRPC is answered as HTTP") {
  SessionWorld world;
  h2::List web = h2::Post("/echo"), get = h2::Get("/echo"), bare = h2::Post("/echo");
  web.emplace_back("content-type", "application/grpc-web");
  get.emplace_back("content-type", "application/grpc");
  world.Receive(HeadersFrame(1, web, true) + HeadersFrame(3, get, true) +
                HeadersFrame(5, bare, true));
  CHECK(world.Answer(1).Status() == "415");
  CHECK(world.Answer(3).Status() == "405");
  CHECK(world.Answer(5).Status() == "415");
  h2::List proto = h2::Post("/echo");
  proto.emplace_back("content-type", "application/grpc+proto");
  world.Receive(HeadersFrame(7, proto, true));
  CHECK(world.StatusOf(7) == "0");
  CHECK(world.service.handlers.size() == 1);
}

TEST_CASE("a field that the service wants is there as often as it was sent, and no other") {
  SessionWorld world;
  world.Receive(
      HeadersFrame(1, RpcHead("/wait", {{"x-wanted", "one"}, {"x-other", "x"}, {"x-wanted", ""}})));
  world.Receive(HeadersFrame(3, RpcHead("/wait")));
  CHECK(world.handler(0).wanted == std::vector<std::string>{"one", ""});
  CHECK(world.handler(0).other.empty());
  CHECK(world.handler(1).wanted.empty());
}

TEST_CASE("on a local socket any authority is one; fields out of order are not taken anywhere") {
  RpcLimits limits;
  limits.any_authority = GENERATE(false, true);
  SessionWorld world(limits);
  const auto head = [](const std::string& authority) {
    return h2::List{{":method", "POST"},
                    {":scheme", "http"},
                    {":path", "/echo"},
                    {":authority", authority},
                    {"content-type", "application/grpc"}};
  };
  std::uint32_t id = 1;
  for (const char* authority : {"/run/x/api.sock", "unix:///run/x.sock", "outbound|1||x"}) {
    world.Receive(HeadersFrame(id, head(authority)) + DataFrame(id, Prefixed("a"), true));
    if (limits.any_authority)
      CHECK(world.StatusOf(id) == "0");
    else
      CHECK(world.Answer(id).reset);
    id += 2;
  }
  const std::size_t begun = world.service.handlers.size();
  auto twice = head("a"), late = head("a"), unknown = head("a");
  twice.insert(twice.begin(), {":path", "/once"});
  late.insert(late.begin(), {"x-other", "x"});
  unknown.insert(unknown.begin(), {":status", "200"});
  for (const h2::List& fields : {twice, late, unknown}) {
    world.Receive(HeadersFrame(id, fields, true));
    CHECK(world.Answer(id).reset);
    id += 2;
  }
  CHECK(world.service.handlers.size() == begun);
  world.Receive(CallFrames(id, "/echo", "still here"));
  CHECK(world.StatusOf(id) == "0");
}

TEST_CASE("a call that is reset is over at once, before an answer and within it") {
  SessionWorld world({}, h2::Number(4, 2) + h2::Number(10, 4));  // ten bytes of window
  world.Receive(HeadersFrame(1, RpcHead("/wait")) + DataFrame(1, Prefixed("unread")));
  world.Receive(CallFrames(3, "/once", "longer than the window"));
  world.reader.AnswerWindows(false);
  world.Exchange();
  CHECK(world.reader.answers()[3].body.size() == 10);
  CHECK(world.handler(1).over == 0);
  for (const std::uint32_t id : {1U, 3U})
    world.Receive(h2::Frame(h2::kReset, 0, id, h2::Number(h2::kCancel, 4)));
  CHECK(world.handler(0).over == 1);
  CHECK(world.handler(1).over == 1);
  CHECK(world.session.calls() == 0);
  world.handler(0).call->Read();
  world.handler(0).call->Send("to nobody");
  world.handler(0).call->Finish({});
  world.Receive(CallFrames(5, "/wait", "x"));
  world.Exchange();
  CHECK(world.handler(0).messages.empty());
}

TEST_CASE("the end of a session ends its calls, once each") {
  std::vector<std::shared_ptr<TestHandler>> handlers;
  {
    SessionWorld world;
    world.Receive(HeadersFrame(1, RpcHead("/wait")) + HeadersFrame(3, RpcHead("/echo")));
    handlers = world.service.handlers;
  }
  for (const auto& handler : handlers) {
    CHECK(handler->over == 1);
    handler->call->Send("to nobody");
    handler->call->Finish({});
  }
}

TEST_CASE("OnSent comes once all that was asked for has left, and not before") {
  SessionWorld world({}, h2::Number(4, 2) + h2::Number(10, 4));
  world.Receive(HeadersFrame(1, RpcHead("/wait"), true));
  world.reader.AnswerWindows(false);
  TestHandler& handler = world.handler();
  handler.call->Send("12345");
  world.Exchange();
  CHECK(handler.sent == 1);
  handler.call->Send("67890");
  world.Exchange();
  CHECK(handler.sent == 1);
  handler.on_sent = [&] {
    if (handler.sent == 2) handler.call->Send("more");
  };
  world.Receive(h2::Frame(h2::kWindowUpdate, 0, 1, h2::Number(100, 4)));
  world.Exchange();
  CHECK(handler.sent == 3);
  CHECK(world.reader.answers()[1].body == Prefixed("12345") + Prefixed("67890") + Prefixed("more"));
  handler.call->Finish({});
  CHECK(world.StatusOf(1) == "0");
  CHECK(handler.sent == 3);
}

TEST_CASE("a peer that does not take its answers is given so many and no more") {
  RpcLimits limits;
  limits.answer_bytes = 100'000;
  SessionWorld world(limits, h2::Number(4, 2) + h2::Number(0, 4));  // no window at all
  world.Receive(HeadersFrame(1, RpcHead("/wait"), true));
  for (int i = 0; i < 100; ++i) world.handler().call->Send(std::string(10'000, 'x'));
  world.Receive(CallFrames(3, "/once", "next"));
  CHECK(world.StatusOf(3) == "8");
  world.Receive(h2::Frame(h2::kWindowUpdate, 0, 1, h2::Number(1'000'000, 4)));
  CHECK(world.StatusOf(1) == "8");
  CHECK(world.reader.answers()[1].body.size() <= 110'055);
  world.Receive(CallFrames(5, "/once", "taken"));
  world.Exchange();
  world.Receive(h2::Frame(h2::kWindowUpdate, 0, 5, h2::Number(100, 4)));
  CHECK(world.StatusOf(5) == "0");
}

TEST_CASE("while a call's answers wait its messages do too") {
  SessionWorld world({}, h2::Number(4, 2) + h2::Number(0, 4));
  world.Exchange();
  world.Receive(HeadersFrame(1, RpcHead("/echo")));
  for (int i = 0; i < 20; ++i) world.Receive(DataFrame(1, Prefixed(std::string(10'000, 'x'))));
  CHECK(world.handler().messages.size() == 7);
  world.Receive(h2::Frame(h2::kWindowUpdate, 0, 1, h2::Number(1'000'000, 4)));
  world.Exchange();
  CHECK(world.handler().messages.size() == 20);
}

TEST_CASE("requests of a connection that wait are bounded together") {
  RpcLimits limits;
  limits.message_bytes = 20'000;
  limits.connection_bytes = 50'000;
  SessionWorld world(limits);
  std::uint32_t id = 1;
  for (; id < 9; id += 2) {
    world.Receive(HeadersFrame(id, RpcHead("/wait")) +
                  DataFrame(id, Prefixed(std::string(20'000, 'x')).substr(0, 15'000)));
    world.Exchange();
  }
  CHECK(world.StatusOf(5) == "none");
  CHECK(world.StatusOf(7) == "8");
  world.Receive(h2::Frame(h2::kReset, 0, 1, h2::Number(h2::kCancel, 4)));
  world.Receive(HeadersFrame(9, RpcHead("/wait")) +
                DataFrame(9, Prefixed(std::string(20'000, 'x')).substr(0, 15'000)));
  CHECK(world.StatusOf(9) == "none");
}

TEST_CASE("streams beyond the limit are not served") {
  RpcLimits limits;
  limits.streams = 2;
  SessionWorld world(limits);
  for (std::uint32_t id = 1; id <= 5; id += 2) world.Receive(HeadersFrame(id, RpcHead("/wait")));
  CHECK(world.service.handlers.size() == 2);
  world.Exchange();
  CHECK(world.reader.answers()[5].reset == h2::kRefused);
  world.Receive(HeadersFrame(7, RpcHead("/wait")));  // it knows the limit now
  world.Exchange();
  CHECK(world.service.handlers.size() == 2);
  CHECK(world.reader.goaway() == h2::kProtocolError);
}

TEST_CASE("fields beyond the limit reset their call, and the connection goes on") {
  SessionWorld world;
  h2::List many = RpcHead("/echo");
  for (int i = 0; i < 600; ++i) many.emplace_back("x", "y");
  world.Receive(HeadersFrame(1, many, true));
  world.Exchange();
  CHECK(world.reader.answers()[1].reset);
  CHECK(world.service.handlers.empty());
  world.Receive(CallFrames(3, "/echo", "next"));
  CHECK(world.StatusOf(3) == "0");
}

TEST_CASE("floods of what costs nothing end the connection") {
  SessionWorld world;
  const auto flood = GENERATE(as<std::string>{}, "ping", "settings", "priority", "empty", "padding",
                              "reset", "reset without an error", "invalid");
  std::uint32_t id = 1;
  world.Receive(HeadersFrame(id, RpcHead("/wait")));
  for (int i = 0; i < 3000 && !world.session.over(); ++i) {
    std::string frames;
    if (flood == "ping") frames = h2::Frame(h2::kPing, 0, 0, "12345678");
    if (flood == "settings") frames = h2::Frame(h2::kSettings, 0, 0);
    if (flood == "priority") frames = h2::Frame(h2::kPriority, 0, 3, std::string(5, '\0'));
    if (flood == "empty") frames = DataFrame(1, "");
    if (flood == "padding") frames = h2::Frame(h2::kData, 8, 1, std::string("\x01\0", 2));
    if (flood.starts_with("reset")) {
      id += 2;
      const auto code = flood == "reset" ? h2::kCancel : h2::kNoError;
      frames =
          HeadersFrame(id, RpcHead("/wait")) + h2::Frame(h2::kReset, 0, id, h2::Number(code, 4));
    }
    if (flood == "invalid") frames = HeadersFrame(id += 2, {{"Upper", "x"}}, true);
    world.Receive(frames);
    world.Exchange();
  }
  CHECK(world.session.over());
  REQUIRE(world.reader.goaway());
  CHECK(world.service.handlers.size() <= 1200);
}

TEST_CASE("as many calls and pings as one likes are no flood") {
  SessionWorld world;
  for (std::uint32_t id = 1; id < 8000; id += 2) {
    world.Receive(CallFrames(id, "/echo", "hello") + h2::Frame(h2::kPing, 0, 0, "12345678"));
    REQUIRE(world.StatusOf(id) == "0");
  }
  CHECK_FALSE(world.session.over());
}

TEST_CASE("a preface that is none ends the session without a call") {
  const auto preface = GENERATE(as<std::string>{}, "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
                                "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", std::string(100, '\0'));
  test::FakeClock clock;
  const auto loop = *EventLoop::Create(clock);
  RpcTurn turn{{[](std::uint64_t) {}, [](std::uint64_t, ConnectionEnd) {}, [] {}}};
  const auto mailbox = std::make_shared<RpcMailbox>(*loop, turn);
  TestService service;
  RpcSession session(service, nullptr, mailbox, {}, *loop, [] {});
  session.Receive(preface);
  CHECK(session.over());
  CHECK_FALSE(session.greeted());
  std::string out;
  session.Produce(1000, &out);
  CHECK(out.empty());
}

TEST_CASE("a preface is whole with its settings") {
  SessionWorld world;
  CHECK(world.session.greeted());
  test::FakeClock clock;
  RpcSession other(world.service, nullptr, world.mailbox, {}, *world.loop, [] {});
  other.Receive(h2::kPreface);
  CHECK_FALSE(other.greeted());
}

TEST_CASE("a session that drains ends its calls in peace and takes no more") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/echo")) + DataFrame(1, Prefixed("before")));
  world.Exchange();
  world.session.Drain();
  world.Exchange();
  CHECK(world.reader.goaway() == h2::kNoError);
  CHECK_FALSE(world.session.over());
  world.Receive(CallFrames(3, "/echo", "too late"));
  world.Receive(DataFrame(1, Prefixed("after"), true));
  CHECK(world.StatusOf(1) == "0");
  CHECK(world.handler().messages == std::vector<std::string>{"before", "after"});
  CHECK(world.service.handlers.size() == 1);
  CHECK(world.session.over());
}

TEST_CASE("a session that is stopped begins no call and hands on no message") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/echo")));
  world.session.Stop();
  world.Receive(DataFrame(1, Prefixed("cut"), true) + CallFrames(3, "/echo", "cut"));
  CHECK(world.service.handlers.size() == 1);
  CHECK(world.handler().messages.empty());
}

TEST_CASE("a call knows how long its caller waits") {
  SessionWorld world;
  world.Receive(HeadersFrame(1, RpcHead("/wait", {{"grpc-timeout", "1500m"}})) +
                HeadersFrame(3, RpcHead("/wait", {{"grpc-timeout", "soon"}})) +
                HeadersFrame(5, RpcHead("/wait")));
  CHECK(world.handler(0).call->deadline() == world.loop->now() + std::chrono::milliseconds(1500));
  CHECK(world.handler(1).call->deadline() == SteadyTime::max());
  CHECK(world.handler(2).call->deadline() == SteadyTime::max());
}

TEST_CASE("a ping that is answered counts") {
  SessionWorld world;
  world.session.Ping();
  CHECK(world.session.ping_unanswered());
  world.Exchange();
  CHECK_FALSE(world.session.ping_unanswered());
}

TEST_CASE("a window full of empty messages costs no more than it holds") {
  SessionWorld world;
  world.Exchange();
  world.Receive(HeadersFrame(1, RpcHead("/wait")));
  std::string many;
  for (int i = 0; i < 3000; ++i) many += Prefixed("");
  for (int i = 0; i < 17; ++i) world.Receive(DataFrame(1, many));
  for (int i = 0; i < 51'000; ++i) world.handler().call->Read();
  CHECK(world.handler().messages.size() == 51'000);
}

namespace {

// What any splitting of the same frames must come to.
std::vector<std::vector<std::string>> CallsOf(const std::vector<std::string>& pieces) {
  SessionWorld world;
  for (const std::string& piece : pieces) world.Receive(piece);
  world.Exchange();
  std::vector<std::vector<std::string>> calls;
  for (std::size_t i = 0; i < world.service.handlers.size(); ++i) {
    calls.push_back(world.handler(i).messages);
    calls.back().push_back(world.reader.answers()[static_cast<std::uint32_t>(2 * i + 1)].body);
    calls.back().push_back(world.StatusOf(static_cast<std::uint32_t>(2 * i + 1)));
  }
  return calls;
}

}  // namespace

TEST_CASE("frames of several calls, interleaved and split anywhere, make the same calls") {
  std::uint32_t seed = 1;
  const auto random = [&](std::size_t below) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
  };
  for (int round = 0; round < 100; ++round) {
    // Each call's bytes, cut into DATA frames anywhere; the frames of all calls interleaved.
    std::vector<std::vector<std::string>> frames(4);
    std::vector<std::vector<std::string>> wanted;
    for (std::uint32_t call = 0; call < 4; ++call) {
      const std::uint32_t id = 2 * call + 1;
      std::string bytes;
      auto& calls = wanted.emplace_back();
      for (std::size_t i = random(5) + 1; i > 0; --i) {
        calls.emplace_back(random(200), static_cast<char>('a' + i));
        bytes += Prefixed(calls.back());
      }
      calls.push_back(bytes);
      calls.emplace_back("0");
      while (!bytes.empty()) {
        const std::size_t count = std::min(bytes.size(), 1 + random(100));
        const bool last = count == bytes.size();
        frames[call].push_back(DataFrame(id, bytes.substr(0, count), last));
        bytes.erase(0, count);
      }
    }
    std::string all;
    for (std::uint32_t call = 0; call < 4; ++call)
      all += HeadersFrame(2 * call + 1, RpcHead("/echo"));
    while (std::ranges::any_of(frames, [](const auto& left) { return !left.empty(); })) {
      auto& from = frames[random(4)];
      if (from.empty()) continue;
      all += from.front();
      from.erase(from.begin());
    }
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < all.size(); at += pieces.back().size())
      pieces.push_back(all.substr(at, 1 + random(50)));
    REQUIRE(CallsOf(pieces) == wanted);
    REQUIRE(CallsOf({all}) == wanted);
  }
}

}  // namespace signet::net
