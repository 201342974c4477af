// Whom the proxy's own calls trust.

#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kOrders = "spiffe://example.org/orders";
constexpr const char* kRule = "{id: 'spiffe://example.org/orders'}";

// A TLS peer that shows `identity`, and the outbound proxy before it.
struct Peer {
  Peer(const TestAuthority& authority, const std::string& shown)
      : backend(TestBackend::Echo,
                test::TrustingContext(authority.Issue(shown), net::TlsRole::kServer)) {}
  TestBackend backend;
};

StreamClient CallOut(World& world) { return world.Call("out", nullptr, Direction::kOutbound); }

TEST_CASE("an outbound connection shows the proxy's identity to the peer it expects") {
  const TestAuthority root("spiffe://example.org");
  std::promise<std::string> seen;
  TestBackend peer(
      [&](StreamClient& stream) {
        seen.set_value(stream.peer()->name);
        TestBackend::Echo(stream);
      },
      test::TrustingContext(root.Issue(kOrders), net::TlsRole::kServer));
  World world(OutboundYaml(peer.address(), kRule));
  world.proxy->OnIdentity(MakeIdentity(1, kShop, root.Issue(kShop), {root.certificate()}));
  StreamClient local = CallOut(world);
  REQUIRE(local.Send("hello"));
  CHECK(local.Receive(5) == "hello");
  CHECK(seen.get_future().get() == kShop);
}

TEST_CASE("a peer with another identity is refused in the handshake, before a byte is sent") {
  const TestAuthority root("spiffe://example.org");
  std::atomic<int> served{0};
  TestBackend peer(
      [&](StreamClient&) { ++served; },
      test::TrustingContext(root.Issue("spiffe://example.org/impostor"), net::TlsRole::kServer));
  World world(OutboundYaml(peer.address(), kRule));
  world.proxy->OnIdentity(MakeIdentity(1, kShop, root.Issue(kShop), {root.certificate()}));
  StreamClient local = CallOut(world);
  local.Send("secret");
  CHECK(local.WaitForEnd());
  CHECK(local.end() == StreamEnd::kBroken);
  CHECK(
      World::Eventually([&] { return world.Refused("unexpected_peer", "out", "outbound") == 1; }));
  CHECK(served == 0);
}

TEST_CASE("a peer of a foreign authority is refused") {
  const TestAuthority root("spiffe://example.org");
  const TestAuthority foreign("spiffe://example.org");
  Peer peer(foreign, kOrders);
  World world(OutboundYaml(peer.backend.address(), kRule));
  world.proxy->OnIdentity(MakeIdentity(1, kShop, root.Issue(kShop), {root.certificate()}));
  StreamClient local = CallOut(world);
  CHECK(local.WaitForEnd());
  CHECK(World::Eventually(
      [&] { return world.Refused("certificate_untrusted", "out", "outbound") == 1; }));
}

TEST_CASE("without expect rules no peer is trusted") {
  const TestAuthority root("spiffe://example.org");
  Peer peer(root, kOrders);
  World world(OutboundYaml(peer.backend.address(), ""));
  world.proxy->OnIdentity(MakeIdentity(1, kShop, root.Issue(kShop), {root.certificate()}));
  StreamClient local = CallOut(world);
  CHECK(local.WaitForEnd());
  CHECK(
      World::Eventually([&] { return world.Refused("unexpected_peer", "out", "outbound") == 1; }));
}

TEST_CASE("a peer that is no TLS server is refused") {
  const TestAuthority root("spiffe://example.org");
  TestBackend peer([](StreamClient& stream) {
    stream.Receive(1);
    stream.Send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  World world(OutboundYaml(peer.address(), kRule));
  world.proxy->OnIdentity(MakeIdentity(1, kShop, root.Issue(kShop), {root.certificate()}));
  StreamClient local = CallOut(world);
  CHECK(local.WaitForEnd());
  CHECK(
      World::Eventually([&] { return world.Refused("handshake_failed", "out", "outbound") == 1; }));
}

TEST_CASE("when expect rules change, live connections to others are cut") {
  const TestAuthority root("spiffe://example.org");
  Peer peer(root, kOrders);
  World world(OutboundYaml(peer.backend.address(), kRule));
  world.proxy->OnIdentity(MakeIdentity(1, kShop, root.Issue(kShop), {root.certificate()}));
  StreamClient local = CallOut(world);
  REQUIRE(local.Send("x"));
  REQUIRE(local.Receive(1) == "x");
  REQUIRE(world.proxy->Apply(
      world.Read(OutboundYaml(peer.backend.address(), "{id: 'spiffe://example.org/other'}"))));
  CHECK(world.Closed("policy_changed", "out", "outbound") == 1);
  CHECK(local.WaitForEnd());
}

TEST_CASE("an outbound listener may be a Unix socket, shared by all workers") {
  const TestAuthority root("spiffe://example.org");
  Peer peer(root, kOrders);
  test::TempDir directory;
  const std::string path = directory.File("out.sock");
  World world(
      fmt::format("outbound: [{{name: out, listen: 'unix:{}', forward: '{}', expect: [{}]}}]", path,
                  peer.backend.address().ToString(), kRule),
      2);
  world.proxy->OnIdentity(MakeIdentity(1, kShop, root.Issue(kShop), {root.certificate()}));
  for (int i = 0; i < 10; ++i) {
    StreamClient local = CallOut(world);
    REQUIRE(local.Send("x"));
    CHECK(local.Receive(1) == "x");
  }
  const auto yaml = [&](const std::string& file) {
    return fmt::format(
        "outbound: [{{name: out, listen: 'unix:{}', forward: '127.0.0.1:1', expect: [{}]}}]", file,
        kRule);
  };
  const std::string other = directory.File("other.sock");
  REQUIRE(world.proxy->Apply(world.Read(yaml(other))));
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(std::filesystem::exists(other));
  world.proxy.reset();
  CHECK_FALSE(std::filesystem::exists(other));
}

}  // namespace
}  // namespace signet::proxy
