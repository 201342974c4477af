#include "net/http_request.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace signet::net {
namespace {

HeadStatus Parse(std::string_view bytes) {
  HttpRequest request;
  return ParseRequestHead(bytes, &request);
}

}  // namespace

TEST_CASE("a request's method, path and host are read") {
  HttpRequest request;
  REQUIRE(ParseRequestHead("GET /ready?verbose HTTP/1.1\r\nAccept: */*\r\nhOSt:  localhost:80 "
                           "\r\n\r\nrest",
                           &request) == HeadStatus::kComplete);
  CHECK(request.method == "GET");
  CHECK(request.path == "/ready");
  CHECK(request.host == "localhost:80");
}

TEST_CASE("a head that has not arrived whole is waited for, up to its bound") {
  CHECK(Parse("") == HeadStatus::kIncomplete);
  CHECK(Parse("GET / HTTP/1.1\r\nHost: x\r\n") == HeadStatus::kIncomplete);
  CHECK(Parse(std::string(kMaxRequestHead, 'x')) == HeadStatus::kTooLarge);
  CHECK(Parse("GET / HTTP/1.1\r\nA: " + std::string(kMaxRequestHead, 'x') + "\r\n\r\n") ==
        HeadStatus::kTooLarge);
}

TEST_CASE("a malformed head is refused") {
  for (const std::string head :
       {"", "GET", "GET /", "GET / HTTP/2.0", "GET  / HTTP/1.1", "GET x HTTP/1.1",
        "GET http://x/ HTTP/1.1", "G@T / HTTP/1.1", " GET / HTTP/1.1", "GET / x HTTP/1.1",
        "GET /\x01 HTTP/1.1", "GET / HTTP/1.1\r\nno colon", "GET / HTTP/1.1\r\n: x",
        "GET / HTTP/1.1\r\nHost : x", "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET / HTTP/1.1\r\nHost:", "GET / HTTP/1.1\r\nA: b\r\n folded",
        "GET / HTTP/1.1\r\nA: b\nC: d", "GET / HTTP/1.1\nHost: x"}) {
    CAPTURE(head);
    CHECK(Parse(head + "\r\n\r\n") == HeadStatus::kMalformed);
  }
  CHECK(Parse(std::string("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24)) == HeadStatus::kMalformed);
}

TEST_CASE("only names of this machine are taken for its own") {
  for (const char* own : {"localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:9000", "[::1]",
                          "[::1]:80", "node.example", "Node.Example:80"}) {
    CAPTURE(own);
    CHECK(IsOwnHost(own, "node.example", false));
  }
  for (const char* other : {"", ":80", "example.org", "localhost.example.org", "10.0.0.1",
                            "127.0.0.1.example.org", "[::2]", "::1", "[::1", "localhost:x",
                            "localhost:1234567", "127.0.0.1 x", "0x7f.0.0.1", "[localhost]x"}) {
    CAPTURE(other);
    CHECK(!IsOwnHost(other, "node.example", false));
  }
  CHECK(IsOwnHost("10.0.0.1:80", "0.0.0.0", true));
  CHECK(IsOwnHost("[fe80::1]", "::", true));
  CHECK(!IsOwnHost("rebound.example", "0.0.0.0", true));
}

TEST_CASE("any text becomes a JSON string that means the same") {
  for (const std::string text : {"", "plain", "quote \" and \\", "line\nend\r\t\x01", "ä € 😀"}) {
    CHECK(nlohmann::json::parse(JsonString(text)).get<std::string>() == text);
  }
  for (const std::string broken : {"\xff", "\xc3", "\xe2\x82", "\xc0\x80", "\xed\xa0\x80",
                                   "\xf5\x80\x80\x80", "\xf0\x80\x80\x80"}) {
    const std::string parsed = nlohmann::json::parse(JsonString(broken)).get<std::string>();
    CHECK(parsed.find("\xef\xbf\xbd") == 0);
  }
}

}  // namespace signet::net
