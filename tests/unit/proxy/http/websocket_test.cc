// WebSockets over HTTP/2 (RFC 8441): to the rules and to the backend they are HTTP/1.1's upgrade.

#include "tests/support/http2_caller.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using test::Http2Caller;
namespace h2 = test::h2;

constexpr const char* kRule = "{id: 'spiffe://example.org/*', methods: [GET], paths: [/chat]}";
constexpr const char* kSwitched =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

h2::List Opens(const std::string& path = "/chat", const std::string& protocol = "websocket") {
  return {{":method", "CONNECT"}, {":protocol", protocol}, {":scheme", "http"},
          {":authority", "a"},    {":path", path},         {"sec-websocket-version", "13"}};
}

// Switches, keeps the requests and echoes; or answers what it is told.
struct ChatBackend {
  explicit ChatBackend(std::string says = kSwitched)
      : answer(std::move(says)), backend([this](StreamClient& stream) {
          MessageReader reader(stream);
          while (const auto request = reader.Next()) {
            {
              const std::lock_guard lock(mutex);
              requests.push_back(*request);
            }
            if (!stream.Send(answer)) return;
            if (answer != kSwitched) continue;
            for (std::string one; !(one = reader.Raw(1)).empty();) stream.Send(one);
            stream.CloseWrite();
            return;
          }
        }) {}
  std::vector<Message> Seen() {
    const std::lock_guard lock(mutex);
    return requests;
  }
  const std::string answer;
  std::mutex mutex;
  std::vector<Message> requests;
  TestBackend backend;
};

TEST_CASE(
    "a WebSocket over HTTP/2 goes through two proxies beside other streams, and ends in order") {
  ChatBackend chat;
  HttpPair pair(chat.backend.address());
  Http2Caller caller(pair.Call());
  REQUIRE(caller.Headers(1, Opens(), false));
  REQUIRE(caller.Headers(3, Opens(), false));
  for (const std::uint32_t id : {3U, 1U}) {
    REQUIRE(caller.Data(id, std::string("\x81\x05hello", 7), false));
    REQUIRE(caller.Data(id, "more"));
    const auto answer = caller.Await(id);
    CHECK(answer.Status() == "200");
    CHECK(answer.heads[0].at("sec-websocket-protocol") == "chat");
    CHECK_FALSE(answer.heads[0].contains("sec-websocket-accept"));
    CHECK_FALSE(answer.heads[0].contains("upgrade"));
    CHECK(answer.body == std::string("\x81\x05hello", 7) + "more");
    CHECK(answer.ended);
  }
  const auto seen = chat.Seen();
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].start_line == "GET /chat HTTP/1.1");
  CHECK(seen[0].Field("upgrade") == "websocket");
  CHECK(LowerText(seen[0].Field("connection")) == "upgrade");
  CHECK(seen[0].Field("sec-websocket-version") == "13");
  CHECK(seen[0].Field("sec-websocket-key").size() == 24);
  CHECK(seen[0].Field("sec-websocket-key") != seen[1].Field("sec-websocket-key"));
  CHECK_FALSE(seen[0].Has("transfer-encoding"));
  CHECK(seen[0].Field("signet-client-id") == kShop);
}

TEST_CASE("a server says that it takes WebSockets over HTTP/2") {
  ChatBackend chat;
  World world(HttpInboundYaml(chat.backend.address(), kRule));
  world.Become(kWeb);
  Http2Caller caller(world.CallAs(kShop));
  const auto settings = caller.Next();
  REQUIRE(settings);
  REQUIRE(settings->type == h2::kSettings);
  CHECK(settings->payload.find(std::string("\0\x08\0\0\0\1", 6)) != std::string::npos);
}

TEST_CASE("a WebSocket over HTTP/2 is judged as a GET of its path") {
  ChatBackend chat;
  World world(HttpInboundYaml(chat.backend.address(), kRule));
  world.Become(kWeb);
  Http2Caller caller(world.CallAs(kShop));
  REQUIRE(caller.Headers(1, Opens("/admin"), false));
  CHECK(caller.Await(1).Status() == "403");
  REQUIRE(caller.Headers(3, Opens("/chat/../admin"), false));
  CHECK(caller.Await(3).Status() == "400");
  CHECK(chat.backend.accepted() == 0);
  REQUIRE(caller.Headers(5, Opens(), false));
  REQUIRE(caller.Data(5, "x"));
  CHECK(caller.Await(5).body == "x");
}

TEST_CASE("attack 05: an extended CONNECT that is not switched opens nothing") {
  const std::string smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
  struct Case {
    const char* answer;
    const char* status;
  };
  for (const Case& each : {Case{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "502"},
                           Case{"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", "404"}}) {
    INFO(each.answer);
    ChatBackend chat(each.answer);
    HttpPair pair(chat.backend.address());
    Http2Caller caller(pair.Call());
    REQUIRE(caller.Headers(1, Opens(), false));
    REQUIRE(caller.Data(1, smuggled, false));
    CHECK(caller.Await(1).Status() == each.status);
    CHECK(chat.Seen().size() == 1);
  }
}

TEST_CASE("attack 05: an extended CONNECT to another HTTP, to TLS, or of broken shape is refused") {
  ChatBackend chat;
  World world(HttpInboundYaml(chat.backend.address(), "{id: 'spiffe://example.org/*'}"));
  world.Become(kWeb);
  std::vector<h2::List> bad = {Opens("/chat", "h2c"), Opens("/chat", "HTTP/1.1"),
                               Opens("/chat", "TLS/1.2"), Opens("/chat", "a b"),
                               Opens("", "websocket")};
  bad.push_back(Opens());
  bad.back().push_back({"content-length", "5"});
  bad.push_back({{":method", "GET"},
                 {":protocol", "websocket"},
                 {":scheme", "http"},
                 {":authority", "a"},
                 {":path", "/"}});
  bad.push_back({{":method", "CONNECT"}, {":protocol", "websocket"}, {":authority", "a"}});
  for (std::size_t i = 0; i < bad.size(); ++i) {
    INFO(i);
    Http2Caller caller(world.CallAs(kShop));
    REQUIRE(caller.Headers(1, bad[i], false));
    const auto answer = caller.Await(1);
    CHECK((answer.reset || answer.Status() == "400" || answer.Status() == "405"));
  }
  CHECK(chat.backend.accepted() == 0);
}

}  // namespace
}  // namespace signet::proxy
