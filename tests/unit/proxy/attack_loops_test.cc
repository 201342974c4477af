// Attack 38: proxies that forward to themselves, alone or in a ring.

#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {
namespace {

constexpr const char* kAll = "{id: 'spiffe://example.org/*'}";
constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

double Requests(const World& world, const std::string& direction, const std::string& listener) {
  return world.Series(fmt::format(R"(signet_proxy_requests_total{{direction="{}",listener="{}"}})",
                                  direction, listener));
}
double InRing(const World& world, const std::string& direction, const std::string& listener) {
  return world.Series(fmt::format(
      R"(signet_proxy_requests_ended_total{{direction="{}",how="forward_loop",listener="{}"}})",
      direction, listener));
}

// An inbound listener on `web` before `backend`, and an outbound one on `out` to `peer`.
std::string Both(const std::string& protocol, const std::string& web, const std::string& backend,
                 const std::string& out, const std::string& peer) {
  return fmt::format(
      "inbound: [{{name: web, listen: '{1}', forward: '{2}', protocol: {0}, allow: [{5}]}}]\n"
      "outbound: [{{name: out, listen: '{3}', forward: '{4}', protocol: {0}, expect: [{5}]}}]\n",
      protocol, web, backend, out, peer, kAll);
}

TEST_CASE("attack 38: a request that comes back to a proxy is refused, with 508") {
  const test::TempDir files;
  const std::string web = "unix:" + files.File("web"), out = "unix:" + files.File("out");
  World world(Both("http", web, out, out, web));
  world.Become(kWeb);
  for (const Direction direction : {Direction::kOutbound, Direction::kInbound}) {
    const double before = Requests(world, "inbound", "web");
    StreamClient caller = direction == Direction::kInbound ? world.CallAs(kShop)
                                                           : world.Call("out", nullptr, direction);
    REQUIRE(caller.Send(kGet));
    const auto answer = MessageReader(caller).Next();
    REQUIRE(answer);
    CHECK(answer->start_line == "HTTP/1.1 508 Loop Detected");
    CHECK(Requests(world, "inbound", "web") - before <= 4);
  }
  CHECK(InRing(world, "inbound", "web") == 1);
  CHECK(InRing(world, "outbound", "out") == 1);
}

TEST_CASE("attack 38: a ring of two proxies ends, and the rest of their callers are served") {
  const test::TempDir files;
  ScriptedBackend backend("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const auto at = [&](const char* name) { return "unix:" + files.File(name); };
  World one(Both("http", at("web1"), at("out1"), at("out1"), at("web2")));
  World two(Both("http", at("web2"), at("out2"), at("out2"), at("web1")));
  one.Become(kWeb);
  two.proxy->OnIdentity(MakeIdentity(1, kShop, one.root.Issue(kShop), {one.root.certificate()}));
  StreamClient caller = one.CallAs(kShop);
  MessageReader reader(caller);
  REQUIRE(caller.Send(kGet));
  CHECK(reader.Next()->start_line == "HTTP/1.1 508 Loop Detected");
  CHECK(InRing(one, "inbound", "web") + InRing(two, "inbound", "web") +
            InRing(one, "outbound", "out") + InRing(two, "outbound", "out") ==
        1);
  // Once the ring is opened the same connection is served.
  REQUIRE(two.proxy->Apply(
      two.Read(Both("http", at("web2"), backend.address().ToString(), at("out2"), at("web1")))));
  REQUIRE(caller.Send(kGet));
  CHECK(reader.Next()->body == "ok");
  // The backend is told through how many listeners it came.
  const auto request = backend.requests().back();
  CHECK(std::ranges::count_if(request.fields, [](const std::string& field) {
          return field.starts_with("signet-hops: ");
        }) == 3);
}

TEST_CASE("attack 38: an application that hands all fields on may call back through its proxy") {
  const test::TempDir files;
  const std::string web = "unix:" + files.File("web"), out = "unix:" + files.File("out");
  // It answers the second time; the first time it asks itself, by its own proxy.
  TestBackend backend([&](StreamClient& stream) {
    MessageReader reader(stream);
    while (const auto request = reader.Next()) {
      std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
      if (request->start_line.starts_with("GET /outer")) {
        std::string again = "GET /inner HTTP/1.1\r\n";
        for (const std::string& field : request->fields) again += field + "\r\n";
        StreamClient own = StreamClient::Connect((*net::Address::Parse(out)->Resolve()).front());
        own.Send(again + "\r\n");
        const auto inner = MessageReader(own).Next();
        if (!inner || inner->body != "done") answer = "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n";
      }
      stream.Send(answer);
    }
  });
  World world(Both("http", web, backend.address().ToString(), out, web));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.Send("GET /outer HTTP/1.1\r\nHost: a\r\n\r\n"));
  CHECK(MessageReader(caller).Next()->start_line == "HTTP/1.1 200 OK");
}

TEST_CASE("attack 38: TCP listeners that lead back to themselves carry nothing, and say why") {
  const test::TempDir files;
  const auto at = [&](const char* name) { return "unix:" + files.File(name); };
  const auto yaml = [&](const std::string& last) {
    return fmt::format(
        "outbound: [{{name: a, listen: '{}', forward: '{}', expect: [{}]}},"
        " {{name: b, listen: '{}', forward: '{}', expect: [{}]}}]\n",
        at("a"), at("b"), kAll, at("b"), last, kAll);
  };
  World world(yaml(at("a")));
  world.Become(kWeb);
  for (const char* name : {"a", "b"}) {
    StreamClient caller = world.Call(name, nullptr, Direction::kOutbound);
    CHECK(caller.WaitForEnd());
    CHECK(World::Eventually([&] { return world.Refused("forward_loop", name, "outbound") == 1; }));
  }
  const auto problems = world.proxy->health().problems;
  REQUIRE(problems.size() == 2);
  CHECK(problems[0] == "listener 'a' forwards to itself: outbound/a -> outbound/b -> outbound/a");
  // A reload that leads elsewhere opens it.
  REQUIRE(world.proxy->Apply(world.Read(yaml(at("nobody")))));
  CHECK(world.proxy->health().problems.empty());
  StreamClient caller = world.Call("b", nullptr, Direction::kOutbound);
  CHECK(caller.WaitForEnd());
  CHECK(World::Eventually(
      [&] { return world.Refused("backend_unreachable", "b", "outbound") == 1; }));
}

TEST_CASE("attack 38: a listener that forwards to its own address is a problem of the file") {
  const test::TempDir files;
  for (const std::string protocol : {"tcp", "tls-passthrough"}) {
    const std::string names =
        protocol == "tcp" ? ", expect: [{id: 'spiffe://a/b'}]" : ", server_names: [{names: [a.b]}]";
    const std::string text =
        "outbound: [{name: out, listen: '127.0.0.1:9', forward: "
        "'127.0.0.1:9', protocol: " +
        protocol + names + "}]\n";
    REQUIRE(WriteFileAtomically(files.File("proxy.yaml"), AsBytes(text), 0600));
    ConfigProblems problems;
    CHECK(LoadConfig(files.File("proxy.yaml"), {}, &problems) == nullptr);
    CHECK(problems.Text().find("listener 'out' forwards to itself") != std::string::npos);
  }
}

}  // namespace
}  // namespace signet::proxy
