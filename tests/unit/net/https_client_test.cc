#include "net/https_client.h"

#include <arpa/inet.h>

#include <catch2/catch.hpp>

#include "tests/support/web_endpoint.h"

namespace signet::net {
namespace {

using std::chrono::milliseconds;

struct World {
  World() {
    endpoint.Publish("{\"keys\":[]}", "\"one\"");
    query.context = test::TrustingContext(std::nullopt);
    query.url = HttpsUrl::Parse(endpoint.Url("127.0.0.1", "/b?x=1")).value();
  }
  Reason Refusal() {
    const auto answer = FetchHttps(query);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().Message().find("secret") == std::string::npos);
    return answer.error().reason;
  }

  test::TestAuthority authority{"spiffe://example.org"};
  test::WebEndpoint endpoint{authority.Issue("spiffe://example.org/endpoint")};
  HttpsQuery query;
};

SocketAddress At(const char* text) {
  SocketAddress address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    address.length = sizeof v4;
  } else {
    REQUIRE(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    v6.sin6_family = AF_INET6;
    address.length = sizeof v6;
  }
  return address;
}

}  // namespace

TEST_CASE("a document is fetched, and not again while its entity tag stays the same") {
  World world;
  const auto answer = FetchHttps(world.query);
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->body == "{\"keys\":[]}");
  CHECK(answer->etag == "\"one\"");
  CHECK(answer->peer->chain.size() == 1);
  const std::string request = world.endpoint.LastRequest();
  CHECK(request.starts_with("GET /b?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
  CHECK(request.find("If-None-Match") == std::string::npos);
  world.query.if_none_match = "\"one\"";
  const auto again = FetchHttps(world.query);
  REQUIRE(again);
  CHECK(again->status == 304);
  CHECK(again->body.empty());
}

TEST_CASE("redirects, errors and anything malformed are refused, and nothing of them is repeated") {
  World world;
  for (const char* response :
       {"HTTP/1.1 302 Found\r\nLocation: https://secret.test/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: http://169.254.169.254/secret\r\nContent-Length: "
        "0\r\n\r\n",
        "HTTP/1.1 500 secret\r\nContent-Length: 6\r\n\r\nsecret",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nsecret", "secret\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nsecret",
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nsecret"}) {
    INFO(response);
    world.endpoint.Answer(response);
    CHECK(world.Refusal() == kFetchRefused);
  }
}

TEST_CASE("a fetch ends when its time is over") {
  World world;
  world.query.timeout = milliseconds(200);
  test::TestBackend silent([&](test::StreamClient& stream) { stream.WaitForEnd(); });
  world.query.url = HttpsUrl::Parse("https://" + silent.address().ToString() + "/").value();
  CHECK(world.Refusal() == kFetchFailed);
}

TEST_CASE("an address that may not be reached is not dialed") {
  World world;
  std::string asked;
  world.query.permit = [&](const SocketAddress& address) -> Status {
    asked = address.ToString();
    return Fail(Code::kPermissionDenied, kFetchRefused, "not there");
  };
  CHECK(world.Refusal() == kFetchRefused);
  CHECK(asked.starts_with("127.0.0.1:"));
  CHECK(world.endpoint.requests() == 0);
  world.query.permit = nullptr;
  world.query.url = HttpsUrl::Parse("https://127.0.0.1:99999/").value();
  CHECK(world.Refusal() == kFetchRefused);
}

TEST_CASE("internal addresses are told apart from those of others, in all their disguises") {
  for (const char* text : {"127.0.0.1",
                           "127.255.0.1",
                           "0.0.0.0",
                           "0.1.2.3",
                           "169.254.169.254",
                           "224.0.0.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::1",
                           "::",
                           "::ffff:127.0.0.1",
                           "::ffff:169.254.169.254",
                           "::7f00:1",
                           "fe80::1",
                           "fec0::1",
                           "ff02::1",
                           "64:ff9b::7f00:1",
                           "64:ff9b::a9fe:a9fe",
                           "2002:7f00:1::",
                           "2002:a9fe:a9fe::1"}) {
    INFO(text);
    CHECK(IsInternalAddress(At(text)));
  }
  for (const char* text :
       {"10.0.0.1", "192.168.1.1", "93.184.216.34", "169.253.0.1", "223.255.0.1", "2001:db8::1",
        "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"}) {
    INFO(text);
    CHECK_FALSE(IsInternalAddress(At(text)));
  }
  SocketAddress local;
  local.storage.ss_family = AF_UNIX;
  CHECK(IsInternalAddress(local));
}

}  // namespace signet::net
