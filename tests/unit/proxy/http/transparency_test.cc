// What a caller and a backend see of each other must not depend on whether two proxies stand
// between them: each exchange runs directly and through a pair, and both ends must have seen the
// same. What a proxy must change (RFC 9110, 7.6) is stated where it is.

#include "proxy/http/syntax.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

struct Seen {
  std::vector<Message> requests;   // by the backend
  std::vector<Message> responses;  // by the caller
  bool closed = false;             // the caller's connection ended in order after them
};

struct Script {
  std::string request;
  std::string response;
  std::size_t responses = 1;
  bool head = false;
  bool expect_close = false;
};

Seen Run(const Script& script, const net::SocketAddress& address, ScriptedBackend& backend) {
  StreamClient caller = StreamClient::Connect(address);
  REQUIRE(caller.Send(script.request));
  Seen seen;
  MessageReader reader(caller);
  for (std::size_t i = 0; i < script.responses; ++i) {
    auto response = reader.Next(script.head);
    REQUIRE(response);
    response->Drop("connection");
    seen.responses.push_back(*std::move(response));
  }
  if (script.expect_close) seen.closed = reader.AtOrderlyEnd();
  seen.requests = backend.requests();
  for (Message& request : seen.requests)
    for (const char* ours :
         {"x-forwarded-client-cert", "signet-client-id", "signet-hops", "connection"})
      request.Drop(ours);
  return seen;
}

void Compare(const Script& script, const std::function<void(Seen*)>& expected_change = {}) {
  ScriptedBackend direct_backend(script.response);
  Seen direct = Run(script, direct_backend.address(), direct_backend);
  if (expected_change) expected_change(&direct);
  ScriptedBackend backend(script.response);
  HttpPair pair(backend.address());
  const Seen through = Run(script, pair.address(), backend);
  CHECK(through.responses == direct.responses);
  CHECK(through.closed == direct.closed);
  REQUIRE(through.requests.size() == direct.requests.size());
  for (std::size_t i = 0; i < direct.requests.size(); ++i) {
    CHECK(through.requests[i].start_line == direct.requests[i].start_line);
    CHECK(through.requests[i].fields == direct.requests[i].fields);
    CHECK(through.requests[i].body == direct.requests[i].body);
    CHECK(through.requests[i].trailers == direct.requests[i].trailers);
  }
}

std::string Get(const std::string& more = "") {
  return "GET /path?q=1 HTTP/1.1\r\nHost: a.example\r\n" + more + "\r\n";
}

TEST_CASE("transparent: a request and an answer of known length") {
  Compare(
      {Get("X-Mixed-Case: Yes\r\nAccept: */*\r\nCookie: a=b\r\nCookie: c=d\r\n"),
       "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nhello"});
}

TEST_CASE("transparent: several requests on one connection, also pipelined") {
  Compare({Get() + Get("X: 2\r\n") + Get("X: 3\r\n"),
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 3});
}

TEST_CASE("transparent: chunked both ways, with trailers") {
  Compare(
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
       "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
       "3\r\nabc\r\n1\r\nd\r\n0\r\nX-Sum: 4\r\n\r\n"});
}

TEST_CASE("transparent: a body of length zero stays one") {
  Compare({"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
}

TEST_CASE("transparent: HEAD, 204 and 304 have no body and keep the connection") {
  Script head{
      "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
      "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 2, true};
  Compare(head);
  Compare({Get() + Get(), "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", 2});
  Compare({Get() + Get(), "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 2});
}

TEST_CASE("transparent: an answer that ends with the connection") {
  // To HTTP/1.1 it is chunked on the way, so that a break could not look like its end.
  Compare({Get("Connection: close\r\n"), "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end", 1, false,
           true},
          [](Seen* seen) {
            seen->responses[0].fields.push_back("transfer-encoding: chunked");
            std::ranges::sort(seen->responses[0].fields);
          });
}

TEST_CASE("transparent: HTTP/1.0 with and without Host, with and without keep-alive") {
  // A proxy speaks its own version (RFC 9110, 2.5), and an absent Host is an empty one (RFC
  // 9112, 3.2).
  const auto as_11 = [](Seen* seen) {
    seen->requests[0].start_line = "GET / HTTP/1.1";
    if (!seen->requests[0].Has("host")) seen->requests[0].fields.push_back("host: ");
    std::ranges::sort(seen->requests[0].fields);
  };
  const char* answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  Compare({"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", answer}, as_11);
  const auto closed = [&](Seen* seen) {
    as_11(seen);
    seen->closed = true;
  };
  Compare({"GET / HTTP/1.0\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 1, false, true},
          closed);
}

TEST_CASE("transparent: absolute form becomes origin form with the same host") {
  Compare({"GET http://a.example/path?q=1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
          [](Seen* seen) { seen->requests[0].start_line = "GET /path?q=1 HTTP/1.1"; });
}

TEST_CASE("transparent: any method, any status, OPTIONS *") {
  Compare({"BREW /pot HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
           "HTTP/1.1 418 I am a teapot\r\nContent-Length: 1\r\n\r\nx"});
  Compare(
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
  Compare({Get(), "HTTP/1.1 599 Odd\r\nContent-Length: 1\r\n\r\nx"});
}

TEST_CASE("transparent: interim answers come before the final one") {
  Compare({"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
           3});
}

TEST_CASE("transparent: large bodies both ways") {
  std::string body(300'000, 'b');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  Compare({fmt::format("PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}", body.size(),
                       body),
           fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body)});
}

TEST_CASE("transparent: fields of one connection go no further") {
  const auto without = [](Seen* seen) {
    for (const char* name : {"keep-alive", "x-hop", "proxy-connection"}) {
      seen->requests[0].Drop(name);
      seen->responses[0].Drop(name);
    }
  };
  Compare({Get("Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: "
               "timeout=5\r\nProxy-Connection: x\r\n"),
           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Hop\r\nX-Hop: 2\r\nKeep-Alive: "
           "x\r\n\r\n"},
          without);
}

TEST_CASE("transparent: an upgrade becomes a tunnel, bytes both ways, and ends with either end") {
  const auto run = [](const net::SocketAddress& address) {
    StreamClient caller = StreamClient::Connect(address);
    REQUIRE(
        caller.Send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Key: k\r\n\r\nearly"));
    MessageReader reader(caller);
    auto answer = reader.Next();
    REQUIRE(answer);
    CHECK(answer->start_line == "HTTP/1.1 101 Switching Protocols");
    CHECK(answer->Field("upgrade") == "websocket");
    CHECK(LowerText(answer->Field("connection")) == "upgrade");
    CHECK(reader.Raw(5) == "early");
    REQUIRE(caller.Send(std::string("\0\x81\xff", 3)));
    CHECK(reader.Raw(3) == std::string("\0\x81\xff", 3));
    caller.CloseWrite();
    CHECK(reader.AtOrderlyEnd());
  };
  TestBackend backend([](StreamClient& stream) {
    MessageReader reader(stream);
    const auto request = reader.Next();
    if (!request || request->Field("upgrade") != "websocket") return;
    stream.Send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    for (std::string one; !(one = reader.Raw(1)).empty();) stream.Send(one);
    stream.CloseWrite();
  });
  run(backend.address());
  HttpPair pair(backend.address());
  run(pair.address());
}

TEST_CASE("attack 05: what was a tunnel carries no other request") {
  TestBackend backend([](StreamClient& stream) {
    MessageReader reader(stream);
    while (const auto request = reader.Next()) {
      if (request->Field("upgrade").empty()) {
        stream.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        continue;
      }
      stream.Send(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      for (std::string one; !(one = reader.Raw(1)).empty();) stream.Send(one);
      stream.CloseWrite();
      return;
    }
  });
  HttpPair pair(backend.address());
  StreamClient first = pair.Call();
  REQUIRE(first.Send(Get("Connection: Upgrade\r\nUpgrade: websocket\r\n")));
  MessageReader tunnel(first);
  REQUIRE(tunnel.Next());
  first.CloseWrite();
  REQUIRE(tunnel.AtOrderlyEnd());

  StreamClient second = pair.Call();
  REQUIRE(second.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
  MessageReader reader(second);
  const auto answer = reader.Next();
  REQUIRE(answer);
  CHECK(answer->start_line == "HTTP/1.1 200 OK");
  CHECK(backend.accepted() == 2);
}

TEST_CASE("attack 05: an upgrade that is not accepted with 101 stays HTTP") {
  ScriptedBackend backend(
      "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: "
      "2\r\n\r\nno");
  HttpPair pair(backend.address());
  StreamClient caller = pair.Call();
  REQUIRE(caller.Send(Get("Connection: Upgrade\r\nUpgrade: websocket\r\n") + Get("X: second\r\n")));
  MessageReader reader(caller);
  for (int i = 0; i < 2; ++i) {
    const auto answer = reader.Next();
    REQUIRE(answer);
    CHECK(answer->start_line == "HTTP/1.1 200 OK");
    CHECK_FALSE(answer->Has("upgrade"));
  }
  REQUIRE(backend.requests().size() == 2);
  CHECK(backend.requests()[1].Field("x") == "second");
}

TEST_CASE("attack 05: a switch that nobody asked for is a broken answer") {
  ScriptedBackend backend(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n");
  HttpPair pair(backend.address());
  StreamClient caller = pair.Call();
  REQUIRE(caller.Send(Get()));
  MessageReader reader(caller);
  const auto answer = reader.Next();
  REQUIRE(answer);
  CHECK(answer->start_line == "HTTP/1.1 502 Bad Gateway");
}

}  // namespace
}  // namespace signet::proxy
