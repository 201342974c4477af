// What routes do to requests on their way through a proxy: where they go, what is changed, what is
// answered without a backend, and that a reload swaps them whole.
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

std::string Ok(const std::string& body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nServer: {}\r\n\r\n{}", body.size(),
                     body, body);
}
std::string Get(const std::string& path = "/", const std::string& more = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: a.example.org\r\n" + more + "\r\n";
}
std::string Post(const std::string& path, const std::string& body) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: a.example.org\r\nContent-Length: {}\r\n\r\n{}",
                     path, body.size(), body);
}

// Two plain backends, "a" and "b", behind an inbound listener with `routes`.
struct Routed {
  explicit Routed(const std::string& routes, ScriptedBackend::Answer answer_a = nullptr)
      : a(answer_a ? std::move(answer_a) : [](const Message&) { return Ok("a"); }),
        b(Ok("b")),
        world(Yaml(routes)) {
    world.Become(kWeb);
  }
  std::string Yaml(const std::string& routes,
                   const std::string& allow = "{id: 'spiffe://example.org/*'}") const {
    return fmt::format(
        "inbound: [{{name: web, listen: '127.0.0.1:0', protocol: http, allow: [{}], backends: [\n"
        "  {{name: a, endpoints: [{{address: '{}'}}]}},\n"
        "  {{name: b, endpoints: [{{address: '{}'}}]}}],\n  routes: [{}]}}]\n",
        allow, a.address().ToString(), b.address().ToString(), routes);
  }
  StreamClient Call() { return world.CallAs(kShop); }
  // One request on a connection of its own.
  Message Ask(const std::string& request) {
    StreamClient caller = Call();
    REQUIRE(caller.Send(request));
    const auto answer = MessageReader(caller).Next();
    REQUIRE(answer);
    return *answer;
  }
  double Ended(const std::string& how) {
    return world.Series(fmt::format(
        R"(signet_proxy_requests_ended_total{{direction="inbound",how="{}",listener="web"}})",
        how));
  }

  ScriptedBackend a, b;
  World world;
};

constexpr const char* kToA = "backendRefs: [{name: a}]";

TEST_CASE("requests are split by weight, also on one connection, and a weight of 0 gets none") {
  Routed routed(
      "{rules: [{backendRefs: [{name: a}, {name: b}]},\n"
      "  {matches: [{path: {value: /only-b}}], backendRefs: [{name: a, weight: 0}, {name: b}]},\n"
      "  {matches: [{path: {value: /nobody}}], backendRefs: [{name: a, weight: 0}]}]}");
  StreamClient caller = routed.Call();
  MessageReader reader(caller);
  std::map<std::string, int> seen;
  for (int i = 0; i < 200; ++i) {
    REQUIRE(caller.Send(Get()));
    ++seen[reader.Next()->body];
  }
  CHECK(seen.size() == 2);
  CHECK(seen["a"] + seen["b"] == 200);
  for (int i = 0; i < 20; ++i) {
    REQUIRE(caller.Send(Get("/only-b")));
    CHECK(reader.Next()->body == "b");
  }
  REQUIRE(caller.Send(Get("/nobody")));
  CHECK(reader.Next()->start_line == "HTTP/1.1 500 Internal Server Error");
  CHECK(routed.b.accepted() == 1);
}

TEST_CASE("a header sends its requests to another backend") {
  Routed routed(
      "{rules: [{backendRefs: [{name: a}]},\n"
      "  {matches: [{headers: [{name: x-beta, value: '1'}]}], backendRefs: [{name: b}]}]}");
  CHECK(routed.Ask(Get()).body == "a");
  CHECK(routed.Ask(Get("/", "X-Beta: 1\r\n")).body == "b");
  CHECK(routed.Ask(Get("/", "X-Beta: 2\r\n")).body == "a");
}

TEST_CASE("what no route takes is 404, in gRPC's way for gRPC") {
  Routed routed("{hostnames: [b.example.org], rules: [{backendRefs: [{name: a}]}]}");
  CHECK(routed.Ask(Get()).start_line == "HTTP/1.1 404 Not Found");
  const Message grpc = routed.Ask(
      "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: "
      "0\r\n\r\n");
  CHECK(grpc.Field("grpc-status") == "12");
  CHECK(routed.Ended("no_route") == 2);
  CHECK(routed.a.accepted() == 0);
}

TEST_CASE("a path without one meaning is 400 where routes ask for paths") {
  Routed routed(fmt::format("{{rules: [{{matches: [{{path: {{value: /a}}}}], {}}}]}}", kToA));
  CHECK(routed.Ask(Get("/a//b")).start_line == "HTTP/1.1 400 Bad Request");
  CHECK(routed.a.accepted() == 0);
}

TEST_CASE("heads are edited both ways, and what names the caller stays ours") {
  Routed routed(
      "{rules: [{backendRefs: [{name: a}], filters: [\n"
      "  {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-stage, value: "
      "canary}], add: [{name: x-more, value: two}], remove: [X-Secret]}},\n"
      "  {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [server], set: [{name: "
      "x-by, value: signet}]}}]}]}");
  const Message answer =
      routed.Ask(Get("/",
                     "X-Stage: prod\r\nx-stage: test\r\nX-More: one\r\nx-secret: s\r\n"
                     "signet-client-id: me\r\n"));
  CHECK_FALSE(answer.Has("server"));
  CHECK(answer.Field("x-by") == "signet");
  const Message request = routed.a.requests().at(0);
  CHECK_FALSE(request.Has("x-secret"));
  CHECK(std::ranges::count(request.fields, "x-stage: canary") == 1);
  CHECK(std::ranges::count_if(request.fields,
                              [](const auto& f) { return f.starts_with("x-stage"); }) == 1);
  CHECK(std::ranges::count_if(request.fields,
                              [](const auto& f) { return f.starts_with("x-more"); }) == 2);
  CHECK(request.Field("signet-client-id") == kShop);
}

TEST_CASE("a rewritten request was judged as the caller sent it, and is again after a reload") {
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  Routed routed("{rules: [{backendRefs: [{name: b}]}]}", [going](const Message&) {
    going.wait();
    return Ok("a");
  });
  const std::string routes =
      "{rules: [{matches: [{path: {value: /old}}], backendRefs: [{name: a}], filters: [{type: "
      "URLRewrite, urlRewrite: {hostname: new.example.org, path: {type: ReplacePrefixMatch, "
      "replacePrefixMatch: /new}}}]}]}";
  const std::string allow = "{id: 'spiffe://example.org/*', paths: ['/old/*']}";
  REQUIRE(routed.world.proxy->Apply(routed.world.Read(routed.Yaml(routes, allow))));
  CHECK(routed.Ask(Get("/new/x")).start_line == "HTTP/1.1 403 Forbidden");
  StreamClient caller = routed.Call();
  REQUIRE(caller.Send(Get("/old/x?q=1")));
  REQUIRE(World::Eventually([&] { return routed.a.requests().size() == 1; }));
  REQUIRE(routed.world.proxy->Apply(routed.world.Read(routed.Yaml(routes, allow))));
  go.set_value();
  CHECK(MessageReader(caller).Next()->body == "a");
  CHECK(routed.a.requests().at(0).start_line == "GET /new/x?q=1 HTTP/1.1");
  CHECK(routed.a.requests().at(0).Field("host") == "new.example.org");
}

TEST_CASE("a redirect is answered at once, with the scheme the caller used") {
  Routed routed(
      "{rules: [{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, "
      "requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}, statusCode: "
      "301}}]}]}");
  const Message answer = routed.Ask(Get("/old/x?q=1"));
  CHECK(answer.start_line == "HTTP/1.1 301 Moved Permanently");
  CHECK(answer.Field("location") == "https://a.example.org/new/x?q=1");
  CHECK(routed.Ended("redirected") == 1);
}

TEST_CASE("a fault is injected where it is asked for: an answer, or a delay") {
  Routed routed(
      "{rules: [{matches: [{path: {value: /abort}}], backendRefs: [{name: a}], fault: {abort: "
      "{httpStatus: 503, grpcStatus: 8}}},\n"
      "  {matches: [{path: {value: /never}}], backendRefs: [{name: a}], fault: {abort: "
      "{percentage: 0}}},\n"
      "  {matches: [{path: {value: /slow}}], backendRefs: [{name: a}], fault: {delay: "
      "{fixedDelay: 5s}}}]}");
  CHECK(routed.Ask(Get("/abort")).start_line == "HTTP/1.1 503 Service Unavailable");
  CHECK(routed
            .Ask("POST /abort HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n"
                 "Content-Length: 0\r\n\r\n")
            .Field("grpc-status") == "8");
  CHECK(routed.Ended("fault_injected") == 2);
  CHECK(routed.Ask(Get("/never")).body == "a");
  StreamClient caller = routed.Call();
  REQUIRE(caller.Send(Post("/slow", "body")));
  REQUIRE(World::Eventually([&] {
    return routed.world.Series(
               R"(signet_proxy_requests_total{direction="inbound",listener="web"})") == 4;
  }));
  CHECK(routed.a.requests().size() == 1);
  routed.world.Advance(5s);
  CHECK(MessageReader(caller).Next()->body == "a");
  CHECK(routed.a.requests().at(1).body == "body");
}

TEST_CASE("a request ends with 504 when its time is over, and the others go on") {
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  Routed routed(
      "{rules: [{matches: [{path: {value: /whole}}], backendRefs: [{name: a}], timeouts: "
      "{request: 3s}},\n"
      "  {matches: [{path: {value: /try}}], backendRefs: [{name: a}], timeouts: {request: 60s, "
      "backendRequest: 3s}},\n  {backendRefs: [{name: a}]}]}",
      [going](const Message&) {
        going.wait();
        return Ok("a");
      });
  const std::string path = GENERATE("/whole", "/try");
  StreamClient caller = routed.Call();
  StreamClient patient = routed.Call();
  REQUIRE(patient.Send(Get("/other")));
  REQUIRE(caller.Send(Get(path)));
  REQUIRE(World::Eventually([&] { return routed.a.requests().size() == 2; }));
  routed.world.Advance(3s);
  CHECK(MessageReader(caller).Next()->start_line == "HTTP/1.1 504 Gateway Timeout");
  CHECK(routed.Ended("upstream_timeout") == 1);
  go.set_value();
  CHECK(MessageReader(patient).Next()->body == "a");
}

TEST_CASE("a mirror gets a copy of what is safe, of all where asked, and nobody waits for it") {
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  Routed routed(
      "{rules: [{backendRefs: [{name: b}], filters: [{type: RequestMirror, requestMirror: "
      "{backendRef: {name: a}}}, {type: RequestHeaderModifier, requestHeaderModifier: {set: "
      "[{name: x-copied, value: 'yes'}]}}]},\n"
      "  {matches: [{path: {value: /all}}], backendRefs: [{name: b}], filters: [{type: "
      "RequestMirror, requestMirror: {backendRef: {name: a}, allMethods: true}}]},\n"
      "  {matches: [{path: {value: /none}}], backendRefs: [{name: b}], filters: [{type: "
      "RequestMirror, requestMirror: {backendRef: {name: a}, percent: 0}}]}]}",
      [going](const Message&) {
        going.wait();
        return Ok("a");
      });
  CHECK(routed.Ask(Get("/none")).body == "b");
  CHECK(routed.Ask(Post("/write", "once")).body == "b");
  CHECK(routed.Ask(Get("/read?q")).body == "b");
  CHECK(routed.Ask(Post("/all", std::string(50'000, 'x'))).body == "b");
  REQUIRE(World::Eventually([&] { return routed.a.requests().size() == 2; }));
  std::vector<Message> copies = routed.a.requests();
  std::ranges::sort(copies, {}, &Message::start_line);
  CHECK(copies[0].start_line == "GET /read?q HTTP/1.1");
  CHECK(copies[0].Field("x-copied") == "yes");
  CHECK(copies[1].start_line == "POST /all HTTP/1.1");
  CHECK(copies[1].body == std::string(50'000, 'x'));
  CHECK(routed.Ended("answered") == 4);
  go.set_value();
}

TEST_CASE(
    "a copy whose original breaks off is broken off too, and one without a backend is not made") {
  Routed routed(
      "{rules: [{backendRefs: [{name: b}], filters: [{type: RequestMirror, requestMirror: "
      "{backendRef: {name: a}, allMethods: true}}]}]}");
  {
    StreamClient caller = routed.Call();
    REQUIRE(caller.Send("POST /part HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"));
    REQUIRE(
        World::Eventually([&] { return routed.a.accepted() == 1 && routed.b.accepted() == 1; }));
    caller.Drop();
  }
  REQUIRE(World::Eventually([&] { return routed.Ended("client_gone") == 1; }));
  // A copy of the next one goes by a new connection: the broken one was not reused.
  CHECK(routed.Ask(Post("/next", "whole")).body == "b");
  REQUIRE(World::Eventually([&] { return routed.a.accepted() == 2; }));
}

TEST_CASE("a reload swaps routes whole: the connection stays, and what began goes on by the old") {
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  Routed routed(
      "{rules: [{backendRefs: [{name: a}], filters: [{type: ResponseHeaderModifier, "
      "responseHeaderModifier: {set: [{name: x-by, value: old}]}}]}]}",
      [going](const Message&) {
        going.wait();
        return Ok("a");
      });
  StreamClient caller = routed.Call();
  MessageReader reader(caller);
  REQUIRE(caller.Send(Get("/first")));
  REQUIRE(World::Eventually([&] { return routed.a.requests().size() == 1; }));
  REQUIRE(routed.world.proxy->Apply(
      routed.world.Read(routed.Yaml("{rules: [{backendRefs: [{name: b}]}]}"))));
  go.set_value();
  const auto first = reader.Next();
  REQUIRE(first);
  CHECK(first->body == "a");
  CHECK(first->Field("x-by") == "old");
  REQUIRE(caller.Send(Get("/second")));
  CHECK(reader.Next()->body == "b");
  CHECK(routed.world.Series(
            R"(signet_proxy_connections_opened_total{direction="inbound",listener="web"})") == 1);
}

TEST_CASE("a backend that a reload takes away cuts what is on it, and the listener goes on") {
  std::promise<void> go;
  std::shared_future<void> going = go.get_future().share();
  Routed routed("{rules: [{backendRefs: [{name: a}]}]}", [going](const Message&) {
    going.wait();
    return Ok("a");
  });
  StreamClient caller = routed.Call();
  MessageReader reader(caller);
  REQUIRE(caller.Send(Get("/first")));
  REQUIRE(World::Eventually([&] { return routed.a.requests().size() == 1; }));
  REQUIRE(routed.world.proxy->Apply(routed.world.Read(
      fmt::format("inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', protocol: http, "
                  "allow: [{{id: 'spiffe://example.org/*'}}]}}]\n",
                  routed.b.address().ToString()))));
  CHECK(reader.Next()->start_line == "HTTP/1.1 502 Bad Gateway");
  REQUIRE(caller.Send(Get("/second")));
  CHECK(reader.Next()->body == "b");
  go.set_value();
}

TEST_CASE("each endpoint must be who it is expected to be") {
  ScriptedBackend backend(Ok("web"));
  World inbound(HttpInboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}"));
  inbound.Become(kWeb);
  const std::string peer = inbound.proxy->ListenAddress(Direction::kInbound, "web")->ToString();
  World outbound(fmt::format(
      "outbound: [{{name: out, listen: '127.0.0.1:0', protocol: http, backends: [\n"
      "  {{name: good, expect: [{{id: '{}'}}], endpoints: [{{address: '{}'}}]}},\n"
      "  {{name: other, endpoints: [{{address: '{}', expect: [{{id: '{}'}}]}}]}}],\n"
      "  routes: [{{rules: [{{backendRefs: [{{name: good}}]}}, {{matches: [{{path: {{value: "
      "/other}}}}], backendRefs: [{{name: other}}]}}]}}]}}]\n",
      kWeb, peer, peer, kShop));
  outbound.proxy->OnIdentity(
      MakeIdentity(1, kShop, inbound.root.Issue(kShop), {inbound.root.certificate()}));
  StreamClient caller =
      StreamClient::Connect(*outbound.proxy->ListenAddress(Direction::kOutbound, "out"));
  MessageReader reader(caller);
  REQUIRE(caller.Send(Get()));
  CHECK(reader.Next()->body == "web");
  REQUIRE(caller.Send(Get("/other")));
  CHECK(reader.Next()->start_line == "HTTP/1.1 503 Service Unavailable");
  CHECK(backend.requests().size() == 1);
}

}  // namespace
}  // namespace signet::proxy
