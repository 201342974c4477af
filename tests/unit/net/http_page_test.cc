#include "net/http_page.h"

#include <atomic>
#include <catch2/catch.hpp>

#include "net/http_server.h"
#include "tests/support/fake_clock.h"

using namespace signet;
using namespace signet::net;

namespace {

const std::vector<AddressRange> kLoopback = {*AddressRange::Parse("127.0.0.0/8")};

Result<std::vector<SocketAddress>> ResolveForReal(const Address& address) {
  return address.Resolve();
}

std::vector<SocketAddress> AddressesOf(const std::string& host, std::uint16_t port) {
  Address address;
  address.host = host;
  address.port = port;
  return *address.Resolve();
}

// Answers every request with the same, and remembers how many there were.
struct OnePage {
  explicit OnePage(HttpResponse response) {
    Address any;
    any.host = "127.0.0.1";
    auto listener = ListenTcp(any);
    REQUIRE(listener);
    const auto bound = LocalAddress(listener->get());
    request.from = *Address::Parse(bound->ToString());
    request.path = "/page";
    auto started = HttpServer::Start(
        *std::move(listener),
        [this, response](HeadStatus, const HttpRequest& got) {
          ++requests;
          last = got;
          return response;
        },
        clock);
    REQUIRE(started);
    server = *std::move(started);
  }
  test::FakeClock clock;
  PageRequest request;
  std::atomic<int> requests = 0;
  HttpRequest last;
  std::unique_ptr<HttpServer> server;
};

}  // namespace

TEST_CASE("a page is fetched from an address that was opened") {
  OnePage page({200, "text/plain", "content"});
  CHECK(FetchPage(page.request, kLoopback, ResolveForReal) == std::string("content"));
  CHECK(page.last.path == "/page");
  CHECK(page.last.host == page.request.from.ToString());
}

TEST_CASE("A11: nothing is connected to that is no target, and one bad address spoils a name") {
  OnePage page({200, "text/plain", "content"});
  const auto refused = [&](const Resolver& resolve) {
    const auto got = FetchPage(page.request, {}, resolve);
    return !got && got.error().reason == kTargetRefused &&
           got.error().code == Code::kPermissionDenied;
  };
  CHECK(refused(ResolveForReal));
  CHECK(refused([&](const Address& from) -> Result<std::vector<SocketAddress>> {
    auto both = AddressesOf("192.0.2.1", from.port);  // an ordinary one first
    both.push_back(AddressesOf("127.0.0.1", from.port).front());
    return both;
  }));
  CHECK(refused([&](const Address& from) -> Result<std::vector<SocketAddress>> {
    return AddressesOf("169.254.169.254", from.port);
  }));
  CHECK(page.requests == 0);
}

TEST_CASE("A11: a name is looked up once, so that it cannot lead elsewhere after the check") {
  OnePage page({200, "text/plain", "content"});
  int lookups = 0;
  const auto got = FetchPage(page.request, kLoopback,
                             [&](const Address& from) -> Result<std::vector<SocketAddress>> {
                               return ++lookups == 1 ? AddressesOf("127.0.0.1", from.port)
                                                     : AddressesOf("169.254.169.254", from.port);
                             });
  CHECK(got == std::string("content"));
  CHECK(lookups == 1);
}

TEST_CASE("A11: redirects and errors are not followed, and nothing of them is repeated") {
  const std::string secret = "SECRET-OF-THE-METADATA-SERVICE";
  for (const int status : {301, 302, 307, 404, 500, 204, 206}) {
    OnePage page({status, "text/plain\r\nLocation: http://127.0.0.1/" + secret, secret});
    const auto got = FetchPage(page.request, kLoopback, ResolveForReal);
    REQUIRE_FALSE(got);
    CHECK(got.error().reason == kPageUnusable);
    CHECK(got.error().Message().find(secret) == std::string::npos);
    CHECK(page.requests == 1);
  }
}

TEST_CASE("A10: a page's size is bounded") {
  OnePage large({200, "text/plain", std::string(257, 'x')});
  CHECK(FetchPage(large.request, kLoopback, ResolveForReal).error().reason == kPageUnusable);
  OnePage huge({200, "text/plain", std::string(std::size_t{8} << 20, 'x')});
  CHECK(FetchPage(huge.request, kLoopback, ResolveForReal).error().reason == kPageUnusable);
}

TEST_CASE("A10: a host that accepts and says nothing holds nobody longer than the time given") {
  Address any;
  any.host = "127.0.0.1";
  const auto listener = ListenTcp(any);
  REQUIRE(listener);
  PageRequest request;
  request.from = *Address::Parse(LocalAddress(listener->get())->ToString());
  request.path = "/";
  request.timeout = std::chrono::milliseconds(20);
  const auto got = FetchPage(request, kLoopback, ResolveForReal);
  REQUIRE_FALSE(got);
  CHECK(got.error().code == Code::kDeadlineExceeded);
}

TEST_CASE("responses are read strictly") {
  CHECK(ParsePage("HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody", 4) == std::string("body"));
  CHECK(ParsePage("HTTP/1.1 200\r\n\r\n", 4) == std::string());
  for (const char* text :
       {"", "body", "HTTP/1.0 200 OK\r\n", "HTTP/1.0 200 OK\n\nbody", "HTTP/2 200\r\n\r\n",
        "HTTP/1.0 2000 OK\r\n\r\n", "HTTP/1.0 20 OK\r\n\r\n", "http/1.0 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n12345"}) {
    CAPTURE(text);
    CHECK(ParsePage(text, 4).error().reason == kPageUnusable);
  }
}
