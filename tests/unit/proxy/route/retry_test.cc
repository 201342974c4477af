// What is sent again, to whom, and byte for byte what; what is never sent twice; and what is
// refused because there is too much of it.
#include "tests/support/http2_caller.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
namespace h2 = test::h2;

std::string Answer(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}
std::string Request(const std::string& method, const std::string& path,
                    const std::string& body = "") {
  return fmt::format("{} {} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}", method, path,
                     body.size(), body);
}
// An address where nobody listens.
std::string Nowhere() {
  const auto socket = net::ListenTcp({"127.0.0.1", 0, false});
  REQUIRE(socket);
  return net::LocalAddress(socket->get())->ToString();
}

struct Retried {
  Retried(const std::vector<std::string>& endpoints, const std::string& rule,
          const std::string& backend = "", const std::string& listener = "")
      : world(Yaml(endpoints, rule, backend, listener)) {
    world.Become(kWeb);
  }
  static std::string Yaml(const std::vector<std::string>& endpoints, const std::string& rule,
                          const std::string& backend, const std::string& listener) {
    std::string list;
    for (const std::string& each : endpoints) list += fmt::format("{{address: '{}'}}, ", each);
    return fmt::format(
        "inbound: [{{name: web, listen: '127.0.0.1:0', protocol: http, {} allow: [{{id: "
        "'spiffe://example.org/*'}}],\n  backends: [{{name: all, {} endpoints: [{}]}}],\n  routes: "
        "[{{rules: [{{backendRefs: [{{name: all}}], {}}}]}}]}}]\n",
        listener, backend, list, rule);
  }
  Message Ask(const std::string& request, const char* caller_id = kShop) {
    StreamClient caller = world.CallAs(caller_id);
    REQUIRE(caller.Send(request));
    const auto answer = MessageReader(caller).Next();
    REQUIRE(answer);
    return *answer;
  }
  double Metric(const std::string& name) {
    return world.Series(name + R"({direction="inbound",listener="web"})");
  }
  World world;
};

constexpr const char* kRetry = "retry: {attempts: 2, codes: [503], backoff: 0s}";

TEST_CASE("without a retry in its rule a request is sent once") {
  ScriptedBackend failing(Answer(503, "no"));
  ScriptedBackend good(Answer(200, "yes"));
  Retried retried({failing.address().ToString(), good.address().ToString()}, "name: plain",
                  "lb_policy: ROUND_ROBIN,");
  CHECK(retried.Ask(Request("GET", "/")).body == "no");
  CHECK(good.accepted() == 0);
}

TEST_CASE("where nobody answers a write is sent elsewhere too, for nobody has acted upon it") {
  ScriptedBackend good(Answer(200, "yes"));
  Retried retried({Nowhere(), good.address().ToString()}, kRetry, "lb_policy: ROUND_ROBIN,");
  CHECK(retried.Ask(Request("POST", "/", "once")).body == "yes");
  CHECK(good.requests().at(0).body == "once");
  CHECK(retried.Metric("signet_proxy_retries_total") == 1);
}

TEST_CASE("a failure that was answered is asked again for reads, never for a POST") {
  ScriptedBackend failing(Answer(503, "no"));
  ScriptedBackend good(Answer(200, "yes"));
  const std::vector<std::string> both = {failing.address().ToString(), good.address().ToString()};
  Retried retried(both, kRetry, "lb_policy: ROUND_ROBIN,");
  CHECK(retried.Ask(Request("GET", "/")).body == "yes");
  CHECK(failing.requests().size() == 1);
  Retried again(both, kRetry, "lb_policy: ROUND_ROBIN,");
  CHECK(again.Ask(Request("POST", "/", "once")).body == "no");
  CHECK(failing.requests().size() == 2);
  CHECK(good.requests().size() == 1);
}

TEST_CASE("attack 42: a body is sent again byte for byte, unless it is too long to keep") {
  ScriptedBackend failing(Answer(503, "no"));
  ScriptedBackend good(Answer(200, "yes"));
  Retried retried({failing.address().ToString(), good.address().ToString()}, kRetry,
                  "lb_policy: ROUND_ROBIN,");
  std::string body;
  for (int i = 0; body.size() < 60'000; ++i) body += std::to_string(i);
  CHECK(retried.Ask(Request("PUT", "/kept", body)).body == "yes");
  CHECK(good.requests().at(0).body == body);
  Retried long_one({failing.address().ToString(), good.address().ToString()}, kRetry,
                   "lb_policy: ROUND_ROBIN,");
  CHECK(long_one.Ask(Request("PUT", "/long", std::string(200'000, 'x'))).body == "no");
  CHECK(good.requests().size() == 1);
}

TEST_CASE("attack 42: trailers and chunks are sent again as they came") {
  ScriptedBackend failing(Answer(503, "no"));
  ScriptedBackend good(Answer(200, "yes"));
  Retried retried({failing.address().ToString(), good.address().ToString()}, kRetry,
                  "lb_policy: ROUND_ROBIN,");
  CHECK(retried
            .Ask("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n4\r\ndefg\r\n0\r\nx-sum: 7\r\n\r\n")
            .body == "yes");
  CHECK(good.requests().at(0).body == "abcdefg");
  CHECK(good.requests().at(0).trailers == std::vector<std::string>{"x-sum: 7"});
}

TEST_CASE("attack 42: a stream refused before its body was read is sent again, byte for byte") {
  std::mutex mutex;
  std::vector<std::string> bodies;  // of streams that were served
  int refused = 0;
  TestBackend backend([&](StreamClient& stream) {
    if (stream.Receive(24) != h2::kPreface) return;
    stream.Send(h2::Frame(h2::kSettings, 0, 0));
    std::map<std::uint32_t, std::string> bodies_of;
    for (std::string head; (head = stream.Receive(9)).size() == 9;) {
      const std::string payload = stream.Receive(h2::ReadNumber(head.substr(0, 3)));
      const std::uint32_t id = h2::ReadNumber(head.substr(5));
      const bool last = (head[4] & h2::kEndStream) != 0;
      const std::lock_guard lock(mutex);
      if (head[3] == h2::kHeaders && refused == 0) {
        ++refused;
        stream.Send(h2::Frame(h2::kReset, 0, id, h2::Number(h2::kRefused, 4)));
      } else if (head[3] == h2::kHeaders) {
        bodies_of[id] = "";
      } else if (head[3] == h2::kData && bodies_of.contains(id)) {
        bodies_of[id] += payload;
        if (!last) continue;
        bodies.push_back(bodies_of[id]);
        stream.Send(h2::Frame(h2::kHeaders, h2::kEndHeaders | h2::kEndStream, id,
                              h2::Block({{":status", "200"}, {"content-length", "0"}})));
      }
    }
  });
  Retried retried({backend.address().ToString()}, kRetry, "", "upstream_protocol: http2,");
  std::string body;
  for (int i = 0; body.size() < 30'000; ++i) body += std::to_string(i);
  CHECK(retried.Ask(Request("POST", "/", body)).start_line == "HTTP/1.1 200 OK");
  const std::lock_guard lock(mutex);
  CHECK(refused == 1);
  CHECK(bodies == std::vector<std::string>{body});
}

TEST_CASE("attack 42: a backend that fails altogether is asked no more than its budget") {
  ScriptedBackend failing(Answer(503, "no"));
  Retried retried({failing.address().ToString()}, kRetry,
                  "retry_budget: {percent: 20, min_per_second: 0}, outlier_detection: "
                  "{consecutive_5xx: 0},");
  StreamClient caller = retried.world.CallAs(kShop);
  MessageReader reader(caller);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(caller.Send(Request("GET", "/")));
    CHECK(reader.Next()->body == "no");
  }
  CHECK(failing.requests().size() <= 120);
  CHECK(failing.requests().size() > 110);
}

TEST_CASE("an endpoint that fails in a row is left out, and comes back by one request") {
  std::atomic<int> status{503};
  ScriptedBackend failing([&](const Message&) { return Answer(status, "first"); });
  ScriptedBackend good(Answer(200, "yes"));
  Retried retried({failing.address().ToString(), good.address().ToString()}, "name: r",
                  "lb_policy: ROUND_ROBIN, outlier_detection: {consecutive_5xx: 3, "
                  "base_ejection_time: 10s},");
  StreamClient caller = retried.world.CallAs(kShop);
  MessageReader reader(caller);
  const auto ask = [&] {
    REQUIRE(caller.Send(Request("GET", "/")));
    return reader.Next()->body;
  };
  for (int i = 0; i < 20; ++i) ask();
  CHECK(failing.requests().size() == 3);
  CHECK(retried.Metric("signet_proxy_ejections_total") == 1);
  status = 200;
  retried.world.clock.Advance(10s);
  CHECK(ask() == "first");
  std::set<std::string> seen;
  for (int i = 0; i < 4; ++i) seen.insert(ask());
  CHECK(seen.size() == 2);
}

TEST_CASE(
    "attack 44: more than max_requests are refused at once, and that is no failure of the "
    "endpoint") {
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  ScriptedBackend slow([going](const Message&) {
    going.wait();
    return Answer(200, "yes");
  });
  Retried retried({slow.address().ToString()}, "name: r",
                  "circuit_breakers: {max_requests: 1}, outlier_detection: {consecutive_5xx: 1},");
  StreamClient first = retried.world.CallAs(kShop);
  REQUIRE(first.Send(Request("GET", "/")));
  REQUIRE(World::Eventually([&] { return slow.requests().size() == 1; }));
  CHECK(retried.Ask(Request("GET", "/")).start_line == "HTTP/1.1 503 Service Unavailable");
  go.set_value();
  CHECK(MessageReader(first).Next()->body == "yes");
  CHECK(retried.Metric("signet_proxy_ejections_total") == 0);
  CHECK(retried.Ask(Request("GET", "/")).body == "yes");
}

TEST_CASE("a caller over its rate is told when to come again, in gRPC's way for gRPC") {
  ScriptedBackend good(Answer(200, "yes"));
  Retried retried({good.address().ToString()}, "name: r", "",
                  "rate_limits: {per_identity: {requests: 2, per: 10s}},");
  CHECK(retried.Ask(Request("GET", "/")).body == "yes");
  CHECK(retried.Ask(Request("GET", "/")).body == "yes");
  const Message refused = retried.Ask(Request("GET", "/"));
  CHECK(refused.start_line == "HTTP/1.1 429 Too Many Requests");
  CHECK(refused.Field("retry-after") == "5");
  const Message grpc = retried.Ask(
      "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: "
      "0\r\n\r\n");
  CHECK(grpc.Field("grpc-status") == "8");
  // Another caller has its own share, and time brings more.
  CHECK(retried.Ask(Request("GET", "/"), "spiffe://example.org/other").body == "yes");
  retried.world.clock.Advance(5s);
  CHECK(retried.Ask(Request("GET", "/")).body == "yes");
}

TEST_CASE("attack 43: one caller at a hundred times its rate takes nothing from another") {
  ScriptedBackend good(Answer(200, "yes"));
  Retried retried({good.address().ToString()}, "name: r", "",
                  "rate_limits: {per_identity: {requests: 5, per: 1h}, total: {requests: 10, per: "
                  "1h}},");
  StreamClient abuser = retried.world.CallAs("spiffe://example.org/abuser");
  MessageReader reader(abuser);
  int granted = 0;
  for (int i = 0; i < 500; ++i) {
    REQUIRE(abuser.Send(Request("GET", "/")));
    if (reader.Next()->body == "yes") ++granted;
  }
  CHECK(granted == 5);
  for (int i = 0; i < 5; ++i) CHECK(retried.Ask(Request("GET", "/")).body == "yes");
}

TEST_CASE("a request that policy refuses takes nothing from the rate") {
  ScriptedBackend good(Answer(200, "yes"));
  World world(fmt::format(
      "inbound: [{{name: web, listen: '127.0.0.1:0', protocol: http, forward: '{}', rate_limits: "
      "{{total: {{requests: 1, per: 1h}}}}, allow: [{{id: '{}', paths: ['/ok']}}]}}]\n",
      good.address().ToString(), kShop));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  MessageReader reader(caller);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(caller.Send(Request("GET", "/no")));
    CHECK(reader.Next()->start_line == "HTTP/1.1 403 Forbidden");
  }
  REQUIRE(caller.Send(Request("GET", "/ok")));
  CHECK(reader.Next()->body == "yes");
  REQUIRE(caller.Send(Request("GET", "/ok")));
  CHECK(reader.Next()->start_line == "HTTP/1.1 429 Too Many Requests");
}

}  // namespace
}  // namespace signet::proxy
