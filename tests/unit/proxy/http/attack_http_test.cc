// Requests that try to lead the proxy, its rules or its figures elsewhere than where the
// connection's identity and the configuration say.

#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* kAdmin = "spiffe://example.org/admin";

std::string Get(const std::string& target, const std::string& more = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + more + "\r\n";
}

struct Asked {
  explicit Asked(World& world) : caller(world.CallAs(kShop)), reader(caller) {}
  std::string Status(const std::string& request) {
    REQUIRE(caller.Send(request));
    const auto answer = reader.Next();
    REQUIRE(answer);
    return answer->start_line.substr(9, 3);
  }
  StreamClient caller;
  MessageReader reader;
};

TEST_CASE("attack 19: a path that begins with two slashes is nobody's host and reaches no rule") {
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(),
                              fmt::format("{{id: '{}', hosts: [a], paths: ['/*']}}", kShop)));
  world.Become(kWeb);
  Asked asked(world);
  REQUIRE(asked.Status(Get("/admin")) == "200");
  for (const char* target : {"//a/admin", "//admin", "///a", "/\\a/admin", "/%2fa/admin"}) {
    INFO(target);
    CHECK(asked.Status(Get(target)) == "400");
  }
  CHECK(backend.requests().size() == 1);
  // Where no rule asks for paths it is forwarded as it came, and the host stays the Host field's.
  World plain(HttpInboundYaml(backend.address(), fmt::format("{{id: '{}', hosts: [a]}}", kShop)));
  plain.Become(kWeb);
  CHECK(Asked(plain).Status(Get("//elsewhere/admin")) == "200");
  CHECK(backend.requests().back().start_line == "GET //elsewhere/admin HTTP/1.1");
  CHECK(backend.requests().back().Field("host") == "a");
}

TEST_CASE("attack 22: no field of a request commands the proxy") {
  ScriptedBackend backend("HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno");
  ScriptedBackend other(kOk);
  const std::string elsewhere = other.address().ToString();
  World world(HttpInboundYaml(
      backend.address(),
      fmt::format("{{id: '{}', methods: [GET], hosts: [a], paths: ['/open']}}", kShop)));
  world.Become(kWeb);
  Asked asked(world);
  const std::vector<std::string> commands = {"l5d-dst-override: " + elsewhere,
                                             "l5d-orig-proto: HTTP/2.0",
                                             "l5d-retry-limit: 9",
                                             "x-envoy-original-dst-host: " + elsewhere,
                                             "x-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 9",
                                             "x-envoy-upstream-rq-timeout-ms: 1",
                                             "x-envoy-internal: true",
                                             "x-original-url: /closed",
                                             "x-rewrite-url: /closed",
                                             "x-http-method-override: DELETE",
                                             "x-forwarded-host: b",
                                             "x-forwarded-proto: http",
                                             "forwarded: host=b;for=127.0.0.1",
                                             "x-signet-route: other",
                                             "proxy-connection: keep-alive",
                                             "x-host: b"};
  for (const std::string& command : commands) {
    INFO(command);
    const std::size_t before = backend.requests().size();
    CHECK(asked.Status(Get("/open", command + "\r\n")) == "503");
    CHECK(backend.requests().size() == before + 1);
    // Nor does it open what the request line, the host and the caller do not.
    CHECK(asked.Status(Get("/closed", command + "\r\n")) == "403");
    CHECK(asked.Status("DELETE /open HTTP/1.1\r\nHost: a\r\nx-http-method-override: GET\r\n" +
                       command + "\r\n\r\n") == "403");
  }
  CHECK(asked.Status("GET /open HTTP/1.1\r\nHost: b\r\nX-Forwarded-Host: a\r\n\r\n") == "403");
  CHECK(other.accepted() == 0);
}

TEST_CASE("attack 35: 1,000 rotations during 10,000 requests fail none of them") {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr int kRotations = 100, kRequests = 1000;
#else
  constexpr int kRotations = 1000, kRequests = 10'000;
#endif
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}"), 2);
  world.Become(kWeb);
  std::vector<CertifiedKey> next;
  for (int i = 0; i < 20; ++i) next.push_back(world.root.Issue(kWeb));
  const auto context = test::TrustingContext(world.root.Issue(kShop));
  const auto address = *world.proxy->ListenAddress(Direction::kInbound, "web");
  std::atomic<bool> rotated{false};
  std::atomic<int> served{0}, failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i)
    callers.emplace_back([&] {
      while (failed == 0 && (!rotated || served < kRequests)) {
        StreamClient caller = StreamClient::Connect(address, context);
        MessageReader reader(caller);
        for (int sent = 0; sent < 20; ++sent) {
          const bool good = caller.Send(Get("/"));
          const auto answer = good ? reader.Next() : std::nullopt;
          ++(answer && answer->complete && answer->body == "ok" ? served : failed);
        }
      }
    });
  for (int i = 0; i < kRotations; ++i) {
    // Evenly over the requests, whichever of the two is faster.
    REQUIRE(World::Eventually([&] {
      return failed > 0 || served >= static_cast<std::int64_t>(i) * kRequests / kRotations;
    }));
    world.Become(kWeb, next[static_cast<std::size_t>(i) % next.size()]);
  }
  rotated = true;
  for (std::thread& each : callers) each.join();
  CHECK(failed == 0);
  CHECK(served >= kRequests);
  CHECK(world.generation > kRotations);
}

TEST_CASE("attack 36: a caller is who its certificate says, whatever it claims beside it") {
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(), fmt::format("{{id: '{}'}}", kAdmin)));
  world.Become(kWeb);
  const std::string claims[] = {
      std::string("baggage: k8s.source=") + kAdmin + ",source.principal=" + kAdmin,
      std::string("forwarded: for=\"") + kAdmin + "\"",
      std::string("x-forwarded-client-cert: URI=") + kAdmin,
      std::string("signet-client-id: ") + kAdmin,
      std::string("l5d-client-id: ") + kAdmin,
      std::string("x-envoy-peer-metadata-id: ") + kAdmin,
      std::string("tracestate: signet=") + kAdmin,
      std::string("authorization: Bearer ") + kAdmin,
      std::string("from: ") + kAdmin};
  Asked asked(world);
  for (const std::string& claim : claims) {
    INFO(claim);
    CHECK(asked.Status(Get("/", claim + "\r\n")) == "403");
  }
  CHECK(backend.accepted() == 0);
  const std::string text = world.proxy->MetricsText(false);
  CHECK(text.find(kShop) != std::string::npos);
  CHECK(text.find(kAdmin) == std::string::npos);
}

TEST_CASE("attack 38: where a request goes is configured, and what it names is not dialled") {
  ScriptedBackend backend(kOk);
  ScriptedBackend other(kOk);
  World world(HttpInboundYaml(backend.address(), fmt::format("{{id: '{}'}}", kShop)));
  world.Become(kWeb);
  const std::string elsewhere = other.address().ToString();
  const std::string own = world.proxy->ListenAddress(Direction::kInbound, "web")->ToString();
  Asked asked(world);
  for (const std::string& name : {elsewhere, own, std::string("169.254.169.254"),
                                  std::string("127.0.0.1:9102"), std::string("[::1]:22")}) {
    INFO(name);
    CHECK(asked.Status("GET http://" + name + "/ HTTP/1.1\r\nHost: " + name + "\r\n\r\n") == "200");
  }
  CHECK(backend.requests().size() == 5);
  CHECK(other.accepted() == 0);
}

TEST_CASE("attack 38: plain bytes on the inbound port reach nobody") {
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}"));
  world.Become(kWeb);
  StreamClient direct = world.Call("web", nullptr);
  direct.Send(Get("/"));
  CHECK(direct.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("handshake_failed") == 1; }));
  CHECK(backend.accepted() == 0);
}

}  // namespace
}  // namespace signet::proxy
