// Heads of HTTP/1.1: what is read, what is refused and why, and that what is forwarded is what was
// judged.

#include "proxy/http/http1_head.h"

#include <catch2/catch.hpp>

#include "proxy/http/http1_writer.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

HttpFault Parse(std::string_view text, RequestHead* head, const HttpLimits& limits = {}) {
  HeadScanner scanner;
  const auto found = scanner.Scan(text, limits.head_bytes);
  if (found == HeadScanner::Found::kFault) return scanner.fault();
  if (found == HeadScanner::Found::kMore) return HttpFault::kTruncated;
  return ParseRequestHead(text.substr(0, scanner.head_bytes()), limits, head);
}
HttpFault Judge(std::string_view text) {
  RequestHead head;
  return Parse(text, &head);
}
std::string Get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}
std::string Post(const std::string& fields) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

TEST_CASE("a request head is read into its parts") {
  RequestHead head;
  REQUIRE(Parse("PUT /a/b?c=d HTTP/1.1\r\nHost: example.org:8080\r\nX-One:  1 \r\nx-one:\r\n"
                "Content-Length: 12\r\nTE: trailers\r\nExpect: 100-Continue\r\n\r\nrest",
                &head) == HttpFault::kNone);
  CHECK(head.method == "PUT");
  CHECK(head.path == "/a/b?c=d");
  CHECK(head.authority == "example.org:8080");
  CHECK(head.version == HttpVersion::kHttp11);
  CHECK(head.body.kind == BodyKind::kLength);
  CHECK(head.body.content_length == 12);
  CHECK(head.keep_alive);
  CHECK(head.takes_trailers);
  CHECK(head.expects_continue);
  CHECK(head.fields.Count("X-ONE") == 2);
  CHECK(head.fields.First("x-one") == "1");
  CHECK(head.fields[0].name == "X-One");
}

TEST_CASE("what is written is what was read, byte for byte") {
  const std::string text =
      "POST /p%20q?x=1&y HTTP/1.1\r\nHost: h\r\nX-A: b c\td\r\nX-A: \xc3\xa9\r\nContent-Length: "
      "3\r\n\r\n";
  RequestHead head;
  REQUIRE(Parse(text, &head) == HttpFault::kNone);
  std::string out;
  WriteRequestHead(head, &out);
  CHECK(out == text);
  RequestHead again;
  REQUIRE(Parse(out, &again) == HttpFault::kNone);
  CHECK(again.fields.size() == head.fields.size());
}

TEST_CASE("attack 01: ambiguous framing is refused") {
  for (const char* fields : {
           "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
           "Content-Length: 4\r\nContent-Length: 4\r\n",
           "Content-Length: 4\r\nContent-Length: 5\r\n",
           "Content-Length: 4, 4\r\n",
           "Content-Length: +4\r\n",
           "Content-Length: -4\r\n",
           "Content-Length: 4 4\r\n",
           "Content-Length: 0x4\r\n",
           "Content-Length: 4a\r\n",
           "Content-Length: \r\n",
           "Content-Length: 18446744073709551617\r\n",
           "Content-Length: 9999999999999999999\r\n",
           "Content_Length: 4\r\n",
           "content_length: 4\r\nContent-Length: 4\r\n",
           "Transfer-Encoding: gzip, chunked\r\n",
           "Transfer-Encoding: chunked, identity\r\n",
           "Transfer-Encoding: identity\r\n",
           "Transfer-Encoding: chunked, chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
           "Transfer-Encoding: xchunked\r\n",
           "Transfer-Encoding: \"chunked\"\r\n",
           "Transfer-Encoding: chunked;q=1\r\n",
           "Transfer-Encoding:\r\n",
           "Transfer_Encoding: chunked\r\n",
       }) {
    INFO(fields);
    CHECK(Judge(Post(fields)) == HttpFault::kFraming);
  }
  CHECK(Judge("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == HttpFault::kFraming);
}

TEST_CASE("attack 02: control bytes, bare line ends and folds are refused wherever they stand") {
  const std::string good = "GET /p HTTP/1.1\r\nHost: a\r\nX-Name: value\r\n\r\n";
  REQUIRE(Judge(good) == HttpFault::kNone);
  // Every byte that may stand nowhere in a head, in place of and before every byte of it.
  for (int byte = 0; byte < 0x20; ++byte) {
    const char c = static_cast<char>(byte);
    for (std::size_t at = 0; at + 2 < good.size(); ++at) {
      std::string replaced = good;
      replaced[at] = c;
      std::string inserted = good;
      inserted.insert(at, 1, c);
      INFO("byte " << byte << " at " << at);
      // A tab may stand around a value, and CR and LF where they stand already.
      RequestHead head;
      if (good[at] != c && !(c == '\t' && Parse(replaced, &head) == HttpFault::kNone))
        CHECK(Judge(replaced) != HttpFault::kNone);
      RequestHead other;
      if (Parse(inserted, &other) == HttpFault::kNone) {
        CHECK(c == '\t');
        CHECK(other.fields.First("x-name").find_first_not_of("value\t") == std::string::npos);
      }
    }
  }
  CHECK(Judge("GET / HTTP/1.1\nHost: a\n\n") == HttpFault::kLineEnding);
  CHECK(Judge("GET / HTTP/1.1\r\nHost: a\n\r\n") == HttpFault::kLineEnding);
  CHECK(Judge("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n") == HttpFault::kLineEnding);
  CHECK(Judge(Get(std::string("X: a\0b\r\n", 8))) == HttpFault::kLineEnding);
  CHECK(Judge(Get("X: a\r\n b\r\n")) == HttpFault::kField);
  CHECK(Judge(Get("X: a\r\n\tb\r\n")) == HttpFault::kField);
  CHECK(Judge("GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n") == HttpFault::kField);
  CHECK(Judge(Get("X : a\r\n")) == HttpFault::kField);
  CHECK(Judge(Get("X\t: a\r\n")) == HttpFault::kField);
  CHECK(Judge(Get(": a\r\n")) == HttpFault::kField);
  CHECK(Judge(Get("X\r\n")) == HttpFault::kField);
  CHECK(Judge(Get("X(: a\r\n")) == HttpFault::kField);
  CHECK(Judge(Get("X\x80: a\r\n")) == HttpFault::kField);
  CHECK(Judge(Get("X: a\x7f\r\n")) == HttpFault::kField);
}

TEST_CASE("the request line is one method, one target, one version, single blanks between") {
  const auto line = [](const std::string& text) { return Judge(text + "\r\nHost: a\r\n\r\n"); };
  CHECK(line("GET / HTTP/1.1") == HttpFault::kNone);
  CHECK(line("M-SEARCH / HTTP/1.1") == HttpFault::kNone);
  for (const char* bad :
       {"GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1", "GET /", "GET", "G(T / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.10",
        "GET / HTTP/01.1", "GET / b HTTP/1.1", "GET / HTTPS/1.1"})
    CHECK(line(bad) == HttpFault::kStartLine);
  for (const char* other : {"GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2", "PRI * HTTP/2.0"})
    CHECK(line(other) == HttpFault::kVersion);
  CHECK(line(std::string(33, 'A') + " / HTTP/1.1") == HttpFault::kStartLine);
  for (const char* bad :
       {"GET a HTTP/1.1", "GET /a#b HTTP/1.1", "GET /\x80 HTTP/1.1", "GET * HTTP/1.1",
        "GET /\x7f HTTP/1.1", "GET ftp://a/ HTTP/1.1", "GET http:///x HTTP/1.1",
        "GET http://u@a/ HTTP/1.1", "CONNECT / HTTP/1.1", "CONNECT a HTTP/1.1",
        "CONNECT [::1] HTTP/1.1", "CONNECT :80 HTTP/1.1", "GET a:80 HTTP/1.1"})
    CHECK(line(bad) == HttpFault::kTarget);
}

TEST_CASE("attack 07: host, absolute form and their disagreements") {
  const auto target = [](const std::string& text, const std::string& hosts, RequestHead* head) {
    return Parse("GET " + text + " HTTP/1.1\r\n" + hosts + "\r\n", head);
  };
  RequestHead head;
  REQUIRE(target("http://a.example:80/p?q", "Host: a.example:80\r\n", &head) == HttpFault::kNone);
  CHECK(head.path == "/p?q");
  CHECK(head.authority == "a.example:80");
  RequestHead query;
  REQUIRE(target("HTTP://a?q", "Host: a\r\n", &query) == HttpFault::kNone);
  CHECK(query.path == "/?q");
  for (const char* hosts : {"",
                            "Host: b\r\n",
                            "Host: a\r\nHost: a\r\n",
                            "Host: a\r\nhost: b\r\n",
                            "Host: A\r\n",
                            "Host: a.\r\n",
                            "Host: a:80\r\n",
                            "Host: u@a\r\n",
                            "Host: a/\r\n",
                            "Host: a b\r\n",
                            "Host: a,b\r\n",
                            "Host: a:\r\n",
                            "Host: a:0\r\n",
                            "Host: a:65536\r\n",
                            "Host: a:8x\r\n",
                            "Host: [::1\r\n",
                            "Host: ::1\r\n",
                            "Host: [::1]x\r\n",
                            "Host: [fe80::1%25eth0]\r\n",
                            "Host: a%2eb\r\n",
                            "Host: a\\b\r\n",
                            "Host: [a]\r\n"}) {
    INFO(hosts);
    RequestHead refused;
    CHECK(target("http://a/", hosts, &refused) == HttpFault::kHost);
  }
  for (const char* host :
       {"a", "a.b-c_d~e:1", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:65535", ""}) {
    RequestHead taken;
    CHECK(target("/", std::string("Host: ") + host + "\r\n", &taken) == HttpFault::kNone);
    CHECK(taken.authority == host);
  }
  // RFC 9112, 3.2: an HTTP/1.0 request may have none.
  CHECK(Judge("GET / HTTP/1.0\r\n\r\n") == HttpFault::kNone);
  CHECK(Judge("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n") == HttpFault::kHost);
}

TEST_CASE("attack 09: a head at its limits is read, one beyond is refused") {
  HttpLimits limits;
  limits.head_bytes = 200;
  limits.fields = 5;
  limits.target_bytes = 20;
  const auto judge = [&](const std::string& text) {
    RequestHead head;
    return Parse(text, &head, limits);
  };
  const std::string base = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
  const auto padded = [&](std::size_t bytes) {
    return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(bytes - base.size(), 'x') + "\r\n\r\n";
  };
  CHECK(judge(padded(200)) == HttpFault::kNone);
  CHECK(judge(padded(201)) == HttpFault::kHeadTooLarge);
  CHECK(StatusOfFault(HttpFault::kHeadTooLarge) == 431);
  std::string four;
  for (int i = 0; i < 4; ++i) four += "Cookie: c\r\n";  // crumbs count one by one
  CHECK(judge(Get(four)) == HttpFault::kNone);
  CHECK(judge(Get(four + "Cookie: c\r\n")) == HttpFault::kHeadTooLarge);
  CHECK(judge("GET /" + std::string(19, 'p') + " HTTP/1.1\r\nHost: a\r\n\r\n") == HttpFault::kNone);
  CHECK(judge("GET /" + std::string(20, 'p') + " HTTP/1.1\r\nHost: a\r\n\r\n") ==
        HttpFault::kTargetTooLong);
  CHECK(StatusOfFault(HttpFault::kTargetTooLong) == 414);
}

TEST_CASE("what concerns one connection is not forwarded, nor what Connection names") {
  RequestHead head;
  REQUIRE(
      Parse(Get("Connection: close, X-Secret ,TE\r\nX-Secret: 1\r\nx-secret: 2\r\nKeep-Alive: 5\r\n"
                "Proxy-Connection: x\r\nTE: gzip, trailers\r\nHTTP2-Settings: AA\r\nX-Kept: y\r\n"),
            &head) == HttpFault::kNone);
  CHECK(head.fields.size() == 1);
  CHECK(head.fields.First("x-kept") == "y");
  CHECK_FALSE(head.keep_alive);
  CHECK(head.takes_trailers);
  // What frames or routes the message cannot be named away.
  RequestHead named;
  REQUIRE(Parse(Post("Connection: content-length, host\r\nContent-Length: 3\r\n"), &named) ==
          HttpFault::kNone);
  CHECK(named.body.content_length == 3);
  CHECK(named.authority == "a");
  CHECK(named.fields.First("content-length") == "3");
  CHECK(Judge(Get("Connection: a b\r\n")) == HttpFault::kField);
  std::string many = "Connection: close";
  for (int i = 0; i < 17; ++i) many += ", x-" + std::to_string(i);
  CHECK(Judge(Get(many + "\r\n")) == HttpFault::kField);
}

TEST_CASE("attack 05: only a plain upgrade is passed on, and never to another HTTP or TLS") {
  const auto upgrade = [](const std::string& fields) {
    RequestHead head;
    REQUIRE(Parse(Get(fields), &head) == HttpFault::kNone);
    CHECK(head.fields.Count("upgrade") == 0);
    CHECK(head.fields.Count("http2-settings") == 0);
    return head.upgrade;
  };
  CHECK(upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\n") == "websocket");
  CHECK(upgrade("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n") == "WebSocket");
  CHECK(upgrade("Upgrade: websocket\r\n").empty());
  CHECK(
      upgrade("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
          .empty());
  CHECK(upgrade("Connection: Upgrade\r\nUpgrade: H2C\r\n").empty());
  CHECK(upgrade("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n").empty());
  CHECK(upgrade("Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n").empty());
  CHECK(upgrade("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n").empty());
  CHECK(upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: other\r\n").empty());
  CHECK(upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n").empty());
}

TEST_CASE("only 100-continue may be expected") {
  CHECK(Judge(Post("Expect: 100-continue\r\nContent-Length: 1\r\n")) == HttpFault::kNone);
  CHECK(Judge(Post("Expect: 200-ok\r\n")) == HttpFault::kExpectation);
  CHECK(StatusOfFault(HttpFault::kExpectation) == 417);
}

TEST_CASE("a head may arrive in any pieces") {
  const std::string text = "GET /p HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
  for (std::size_t step = 1; step < text.size(); ++step) {
    HeadScanner scanner;
    auto found = HeadScanner::Found::kMore;
    for (std::size_t end = step; found == HeadScanner::Found::kMore; end += step)
      found = scanner.Scan(std::string_view(text).substr(0, end), 1000);
    CHECK(found == HeadScanner::Found::kHead);
    CHECK(scanner.head_bytes() == text.size());
  }
}

TEST_CASE("attack 23: another protocol is told by its first byte") {
  CHECK(MayBeHttp1(""));
  CHECK(MayBeHttp1("G"));
  CHECK(MayBeHttp1("GET /"));
  CHECK_FALSE(MayBeHttp1(std::string_view("\x16\x03\x01", 3)));
  CHECK_FALSE(MayBeHttp1(std::string_view("\0\0\0\x08", 4)));
  CHECK_FALSE(MayBeHttp1(" GET"));
  CHECK_FALSE(MayBeHttp1(std::string(33, 'A')));
}

HttpFault ParseAnswer(const std::string& text, const char* method, ResponseHead* head) {
  HeadScanner scanner;
  if (scanner.Scan(text, 65536) != HeadScanner::Found::kHead) return HttpFault::kTruncated;
  return ParseResponseHead(std::string_view(text).substr(0, scanner.head_bytes()), {}, method,
                           head);
}

TEST_CASE("a response's body ends as RFC 9112, 6.3 says") {
  const auto kind = [](const std::string& status, const std::string& fields, const char* method) {
    ResponseHead head;
    REQUIRE(ParseAnswer("HTTP/1.1 " + status + "\r\n" + fields + "\r\n", method, &head) ==
            HttpFault::kNone);
    return head.body.kind;
  };
  CHECK(kind("200 OK", "Content-Length: 5\r\n", "GET") == BodyKind::kLength);
  CHECK(kind("200 OK", "Transfer-Encoding: Chunked\r\n", "GET") == BodyKind::kChunked);
  CHECK(kind("200 OK", "", "GET") == BodyKind::kUntilEnd);
  CHECK(kind("200 OK", "Content-Length: 5\r\n", "HEAD") == BodyKind::kNone);
  CHECK(kind("204 No Content", "Content-Length: 5\r\n", "GET") == BodyKind::kNone);
  CHECK(kind("304 Not Modified", "Content-Length: 5\r\n", "GET") == BodyKind::kNone);
  CHECK(kind("100 Continue", "", "POST") == BodyKind::kNone);
}

TEST_CASE("a response head is read strictly too") {
  const auto judge = [](const std::string& text) {
    ResponseHead head;
    return ParseAnswer(text, "GET", &head);
  };
  CHECK(judge("HTTP/1.1 200\r\n\r\n") == HttpFault::kNone);
  CHECK(judge("HTTP/1.1 200 \r\n\r\n") == HttpFault::kNone);
  for (const char* bad : {"HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n",
                          "HTTP/1.1 600 x\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
                          "HTTP/1.1 2x0 OK\r\n\r\n", "ICY 200 OK \r\n\r\n"})
    CHECK(judge(bad) == HttpFault::kStartLine);
  CHECK(judge("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        HttpFault::kFraming);
  CHECK(judge("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n") ==
        HttpFault::kFraming);
  CHECK(judge("HTTP/1.1 200 OK\r\nX : 5\r\n\r\n") == HttpFault::kField);
}

TEST_CASE(
    "an answer without a body keeps the length it would have had, one that never has none does "
    "not") {
  ResponseHead head;
  REQUIRE(ParseAnswer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", &head) ==
          HttpFault::kNone);
  CHECK(head.fields.First("content-length") == "5");
  ResponseHead empty;
  REQUIRE(ParseAnswer("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "GET", &empty) ==
          HttpFault::kNone);
  CHECK(empty.fields.empty());
}

}  // namespace
}  // namespace signet::proxy
