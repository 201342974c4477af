// A caller or an upstream that is revoked while HTTP requests are in every state.

#include "identity/svid/denial.h"
#include "tests/support/http2_caller.h"
#include "tests/unit/proxy/http/http_world.h"

namespace signet::proxy {

namespace h2 = test::h2;
using test::Http2Caller;
namespace {

using namespace std::chrono_literals;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr const char* kAll = "{id: 'spiffe://example.org/*'}";

identity::DenialSetPtr DenyId(const std::string& id) {
  identity::Denial denial;
  denial.id = "denial-1";
  denial.kind = identity::DenialKind::kSpiffeId;
  denial.subject = id;
  return identity::DenialSet::Create({std::make_shared<const identity::Denial>(denial)});
}

// Begins an answer to each request and never ends it.
struct EndlessBackend {
  EndlessBackend()
      : backend([this](StreamClient& stream) {
          MessageReader reader(stream);
          if (!reader.Next()) return;
          stream.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
          ++begun;
          stream.ReceiveToEnd();
          ++ended;
        }) {}
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  TestBackend backend;
};

TEST_CASE("attack 24: a revoked caller's answer in progress is cut, and the backend's side too") {
  EndlessBackend endless;
  World world(HttpInboundYaml(endless.backend.address(), kAll));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.Send(kGet));
  CHECK(caller.Receive(1) == "H");
  world.proxy->Deny(DenyId(kShop));
  CHECK(world.Closed("revoked") == 1);
  const auto rest = MessageReader(caller).Next();
  CHECK((!rest || !rest->complete));
  CHECK(caller.end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return endless.ended == 1; }));
}

TEST_CASE("attack 24: a revoked caller's body in progress is cut") {
  std::promise<bool> whole;
  TestBackend backend([&](StreamClient& stream) {
    const auto request = MessageReader(stream).Next();
    whole.set_value(request && request->complete);
  });
  World world(HttpInboundYaml(backend.address(), kAll));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(caller.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"));
  REQUIRE(World::Eventually([&] { return backend.accepted() == 1; }));
  world.proxy->Deny(DenyId(kShop));
  CHECK(caller.WaitForEnd());
  CHECK_FALSE(whole.get_future().get());
}

TEST_CASE("attack 24: all streams of a revoked caller's HTTP/2 connection end with it") {
  EndlessBackend endless;
  World world(HttpInboundYaml(endless.backend.address(), kAll));
  world.Become(kWeb);
  Http2Caller caller(world.CallAs(kShop));
  for (const std::uint32_t id : {1U, 3U, 5U}) REQUIRE(caller.Headers(id, h2::Get()));
  REQUIRE(World::Eventually([&] { return endless.begun == 3; }));
  world.proxy->Deny(DenyId(kShop));
  CHECK(world.Closed("revoked") == 1);
  while (caller.Next()) continue;
  CHECK(caller.stream().end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return endless.ended == 3; }));
}

TEST_CASE("attack 24: an idle connection of a revoked caller is cut, others' go on") {
  ScriptedBackend backend(kOk);
  World world(HttpInboundYaml(backend.address(), kAll));
  world.Become(kWeb);
  StreamClient idle = world.CallAs(kShop);
  StreamClient other = world.CallAs("spiffe://example.org/other");
  MessageReader idle_reader(idle);
  MessageReader other_reader(other);
  REQUIRE(idle.Send(kGet));
  REQUIRE(idle_reader.Next());
  REQUIRE(other.Send(kGet));
  REQUIRE(other_reader.Next());
  world.proxy->Deny(DenyId(kShop));
  idle.Send(kGet);
  CHECK_FALSE(idle_reader.Next());
  REQUIRE(other.Send(kGet));
  CHECK(other_reader.Next()->body == "ok");
  CHECK(backend.requests().size() == 3);
}

TEST_CASE("attack 24: a revoked upstream leaves the pool, and nothing more goes to it") {
  ScriptedBackend backend(kOk);
  HttpPair pair(backend.address());
  StreamClient caller = pair.Call();
  MessageReader reader(caller);
  REQUIRE(caller.Send(kGet));
  REQUIRE(reader.Next());
  pair.outbound.proxy->Deny(DenyId(kWeb));
  CHECK(World::Eventually([&] { return pair.inbound.Active() == 0; }));
  REQUIRE(caller.Send(kGet));
  const auto refused = reader.Next();
  REQUIRE(refused);
  CHECK(refused->start_line.starts_with("HTTP/1.1 50"));
  CHECK(backend.requests().size() == 1);
  pair.outbound.proxy->Deny(identity::DenialSet::Create({}));
  REQUIRE(caller.Send(kGet));
  CHECK(reader.Next()->body == "ok");
}

TEST_CASE("attack 24: a request in progress to a revoked upstream ends unfinished") {
  EndlessBackend endless;
  HttpPair pair(endless.backend.address());
  StreamClient caller = pair.Call();
  REQUIRE(caller.Send(kGet));
  CHECK(caller.Receive(1) == "H");
  pair.outbound.proxy->Deny(DenyId(kWeb));
  const auto rest = MessageReader(caller).Next();
  CHECK((!rest || !rest->complete));
  CHECK(World::Eventually([&] { return endless.ended == 1; }));
}

}  // namespace
}  // namespace signet::proxy
