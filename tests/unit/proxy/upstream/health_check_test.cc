// Endpoints that are asked whether they are well: what counts, when one is left out, and when it
// comes back.
#include "proxy/upstream/health_check.h"

#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

std::string Answer(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}
constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

struct Checked {
  Checked(const std::vector<std::string>& endpoints, const std::string& check)
      : world(Yaml(endpoints, check)) {
    world.Become(kWeb);
  }
  static std::string Yaml(const std::vector<std::string>& endpoints, const std::string& check) {
    std::string list;
    for (const std::string& each : endpoints) list += fmt::format("{{address: '{}'}}, ", each);
    return fmt::format(
        "inbound: [{{name: web, listen: '127.0.0.1:0', protocol: http, allow: [{{id: "
        "'spiffe://example.org/*'}}], backends: [{{name: all, lb_policy: ROUND_ROBIN, "
        "panic_threshold: 0, outlier_detection: {{consecutive_5xx: 0}}, health_check: {{{}}}, "
        "endpoints: [{}]}}]}}]\n",
        check, list);
  }
  // Lets the worker see that time has passed.
  void Pass(Duration by) { world.Advance(by); }
  std::set<std::string> Seen(int requests) {
    std::set<std::string> seen;
    StreamClient caller = world.CallAs(kShop);
    MessageReader reader(caller);
    for (int i = 0; i < requests; ++i) {
      REQUIRE(caller.Send(kGet));
      const auto answer = reader.Next();
      REQUIRE(answer);
      seen.insert(answer->start_line.substr(9, 3) + answer->body);
    }
    return seen;
  }
  World world;
};

TEST_CASE("an endpoint whose checks fail in a row is left out until they succeed again") {
  std::atomic<int> status{200};
  std::atomic<int> checks{0};
  ScriptedBackend sick([&](const Message& request) {
    if (!request.start_line.starts_with("GET /healthz")) return Answer(200, "sick");
    ++checks;
    return Answer(status, "");
  });
  ScriptedBackend good(Answer(200, "good"));
  Checked checked({sick.address().ToString(), good.address().ToString()},
                  "type: HTTP, path: /healthz, host: web, interval: 10s, unhealthy_threshold: 2, "
                  "healthy_threshold: 1");
  const auto next_check = [&] {
    const int before = checks;
    checked.Pass(10s);
    REQUIRE(World::Eventually([&] { return checks > before; }));
    checked.Seen(4);  // meanwhile the worker has taken the check's answer, too, and set the next
  };
  next_check();
  CHECK(checked.Seen(4) == std::set<std::string>{"200sick", "200good"});
  status = 500;
  next_check();
  next_check();
  REQUIRE(World::Eventually([&] { return checked.Seen(4) == std::set<std::string>{"200good"}; }));
  status = 204;
  next_check();
  REQUIRE(World::Eventually([&] { return checked.Seen(4).size() == 2; }));
  CHECK(sick.requests().at(0).Field("host") == "web");
}

TEST_CASE("where nobody listens a check by connection finds out before a request does") {
  std::string nowhere;
  {
    const auto socket = net::ListenTcp({"127.0.0.1", 0, false});
    REQUIRE(socket);
    nowhere = net::LocalAddress(socket->get())->ToString();
  }
  ScriptedBackend good(Answer(200, "good"));
  Checked checked({nowhere, good.address().ToString()},
                  "type: TCP, interval: 10s, unhealthy_threshold: 1");
  checked.Pass(10s);
  REQUIRE(World::Eventually([&] { return checked.Seen(4) == std::set<std::string>{"200good"}; }));
  CHECK(good.accepted() > 0);
}

// A service with gRPC health: its answers to checks, and its name to all else.
struct Service {
  explicit Service(std::string service_name)
      : name(std::move(service_name)), backend([this](const Message& request) {
          if (!request.start_line.starts_with("POST /grpc.health.v1.Health/Check"))
            return Answer(200, name);
          asked_well = request.body == std::string("\0\0\0\0\x03\x0a\x01s", 8);
          ++checks;
          return "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n7\r\n" +
                 std::string("\0\0\0\0\x02\x08", 6) + std::string(1, status) +
                 "\r\n0\r\ngrpc-status: 0\r\n\r\n";
        }) {}
  const std::string name;
  std::atomic<char> status{1};
  std::atomic<int> checks{0};
  std::atomic<bool> asked_well{false};
  ScriptedBackend backend;
};

TEST_CASE("a gRPC check goes by mutual TLS, and SERVING alone is well") {
  Service one("one");
  Service two("two");
  World first(HttpInboundYaml(one.backend.address(), "{id: 'spiffe://example.org/*'}"));
  World second(HttpInboundYaml(two.backend.address(), "{id: 'spiffe://example.org/*'}"));
  first.Become(kWeb);
  const auto address = [](World& world) {
    return world.proxy->ListenAddress(Direction::kInbound, "web")->ToString();
  };
  second.proxy->OnIdentity(
      MakeIdentity(9, kWeb, first.root.Issue(kWeb), {first.root.certificate()}));
  World outbound(fmt::format(
      "outbound: [{{name: out, listen: '127.0.0.1:0', protocol: http, backends: [{{name: web, "
      "lb_policy: ROUND_ROBIN, panic_threshold: 0, health_check: {{type: GRPC, service: s, "
      "interval: 10s, unhealthy_threshold: 1, healthy_threshold: 1}}, expect: [{{id: '{}'}}], "
      "endpoints: [{{address: '{}'}}, {{address: '{}'}}]}}]}}]\n",
      kWeb, address(first), address(second)));
  outbound.proxy->OnIdentity(
      MakeIdentity(1, kShop, first.root.Issue(kShop), {first.root.certificate()}));
  const auto seen = [&] {
    std::set<std::string> bodies;
    StreamClient caller =
        StreamClient::Connect(*outbound.proxy->ListenAddress(Direction::kOutbound, "out"));
    MessageReader reader(caller);
    for (int i = 0; i < 4; ++i) {
      REQUIRE(caller.Send(kGet));
      bodies.insert(reader.Next()->body);
    }
    return bodies;
  };
  const auto check_again = [&] {
    const int before = one.checks;
    outbound.Advance(10s, "out", Direction::kOutbound);
    REQUIRE(World::Eventually([&] { return one.checks > before; }));
  };
  one.status = 2;  // NOT_SERVING
  check_again();
  REQUIRE(World::Eventually([&] { return seen() == std::set<std::string>{"two"}; }));
  one.status = 1;
  check_again();
  REQUIRE(World::Eventually([&] { return seen().size() == 2; }));
  CHECK(one.asked_well);
}

TEST_CASE("a gRPC health message is read to the byte") {
  CHECK(GrpcHealthRequest("") == std::string(5, '\0'));
  CHECK(GrpcHealthServing(std::string("\0\0\0\0\x02\x08\x01", 7)));
  CHECK_FALSE(GrpcHealthServing(std::string("\0\0\0\0\x02\x08\x02", 7)));
  CHECK_FALSE(GrpcHealthServing(std::string("\x01\0\0\0\x02\x08\x01", 7)));
  CHECK_FALSE(GrpcHealthServing(""));
}

}  // namespace
}  // namespace signet::proxy
