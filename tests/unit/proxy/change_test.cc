// What changes while connections are open: rules, bundles, identities, time, and the end.

#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;

constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kBatch = "spiffe://example.org/batch";
constexpr const char* kWeb = "spiffe://example.org/web";
constexpr const char* kBoth = "{ids: ['spiffe://example.org/shop', 'spiffe://example.org/batch']}";

using test::Talks;

TEST_CASE("a reload cuts the connections it forbids and leaves the others alone") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), kBoth));
  world.Become(kWeb);
  StreamClient shop = world.CallAs(kShop);
  StreamClient batch = world.CallAs(kBatch);
  REQUIRE(Talks(shop));
  REQUIRE(Talks(batch));
  const std::string only_shop = InboundYaml(backend.address(), "{id: 'spiffe://example.org/shop'}");
  REQUIRE(world.proxy->Apply(world.Read(only_shop)));
  // Apply() returned: it is in force, on live connections too.
  CHECK(world.Closed("policy_changed") == 1);
  CHECK(batch.WaitForEnd());
  CHECK(batch.end() == StreamEnd::kBroken);
  CHECK(Talks(shop));
  StreamClient again = world.CallAs(kBatch);
  CHECK(again.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("not_allowed") == 1; }));
}

TEST_CASE("no connection outlives a revoke, whenever in its life the rules change") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), kBoth), 2);
  world.Become(kWeb);
  const auto open = world.Read(InboundYaml(backend.address(), kBoth));
  const auto closed =
      world.Read(InboundYaml(backend.address(), "{id: 'spiffe://example.org/shop'}"));
  world.ExpectNoneOutlives(
      kBatch, [&] { CHECK(world.proxy->Apply(open)); }, [&] { CHECK(world.proxy->Apply(closed)); });
}

TEST_CASE("a reload may add, change and remove listeners without touching the others") {
  TestBackend backend(TestBackend::Echo);
  const std::string address = backend.address().ToString();
  const auto listeners = [&](const std::string& names) {
    std::string yaml = "inbound:\n";
    for (const char name : names)
      yaml += fmt::format(
          "  - {{name: {}, listen: '127.0.0.1:0', forward: '{}', allow: [{{id: '{}'}}]}}\n", name,
          address, kShop);
    return yaml;
  };
  World world(listeners("ab"));
  world.Become(kWeb);
  StreamClient a = world.CallAs(kShop, "a");
  StreamClient b = world.CallAs(kShop, "b");
  REQUIRE(Talks(a));
  REQUIRE(Talks(b));
  REQUIRE(world.proxy->Apply(world.Read(listeners("bc"))));
  CHECK(a.WaitForEnd());
  CHECK(world.Closed("listener_removed", "a") == 1);
  CHECK(Talks(b));
  StreamClient c = world.CallAs(kShop, "c");
  CHECK(Talks(c));
  CHECK_FALSE(world.proxy->ListenAddress(Direction::kInbound, "a"));
}

TEST_CASE("a reload whose new listener cannot be opened changes nothing") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), kBoth));
  world.Become(kWeb);
  StreamClient batch = world.CallAs(kBatch);
  REQUIRE(Talks(batch));
  const std::string taken = fmt::format(
      "inbound:\n"
      "  - {{name: web, listen: '127.0.0.1:0', forward: '{0}', allow: [{{id: '{1}'}}]}}\n"
      "  - {{name: more, listen: '{0}', forward: '127.0.0.1:1', allow: [{{id: '{1}'}}]}}\n",
      backend.address().ToString(), kShop);
  const Status applied = world.proxy->Apply(world.Read(taken));
  REQUIRE_FALSE(applied);
  CHECK(applied.error().reason == net::kListenFailed);
  CHECK(Talks(batch));
}

TEST_CASE("an address that another process listens on is refused, not shared") {
  TestBackend backend(TestBackend::Echo);
  World first(InboundYaml(backend.address()));
  const auto address = *first.proxy->ListenAddress(Direction::kInbound, "web");
  const std::string same = fmt::format(
      "inbound: [{{name: web, listen: '{}', forward: '127.0.0.1:1'}}]", address.ToString());
  const auto second =
      Proxy::Start(first.Read(same), {first.clock, first.log, first.metrics, first.random});
  REQUIRE_FALSE(second);
  CHECK(second.error().reason == net::kListenFailed);
}

TEST_CASE("200 rotations of the SVID during traffic fail nothing") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()), 2);
  world.Become(kWeb);
  const auto svid = world.root.Issue(kShop);
  std::vector<CertifiedKey> next;
  for (int i = 0; i < 20; ++i) next.push_back(world.root.Issue(kWeb));
  std::atomic<bool> stop{false};
  std::atomic<int> served{0}, failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i)
    callers.emplace_back([&] {
      const auto context = test::TrustingContext(svid);
      const auto address = *world.proxy->ListenAddress(Direction::kInbound, "web");
      while (!stop) {
        StreamClient caller = StreamClient::Connect(address, context);
        const bool good = caller.end() == StreamEnd::kOpen && Talks(caller) &&
                          caller.CloseWrite() && caller.WaitForEnd() &&
                          caller.end() == StreamEnd::kOrderly;
        ++(good ? served : failed);
      }
    });
  StreamClient steady = world.CallAs(kBatch);
  for (int i = 0; i < 200; ++i) {
    const int before = served + failed;
    world.Become(kWeb, next[static_cast<std::size_t>(i) % next.size()]);
    REQUIRE(Talks(steady));
    if (i % 10 == 0) REQUIRE(World::Eventually([&] { return served + failed > before; }));
  }
  stop = true;
  for (std::thread& each : callers) each.join();
  CHECK(failed == 0);
  CHECK(served > 20);
}

TEST_CASE("the handshake after a rotation shows the new SVID") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  for (int i = 0; i < 5; ++i) {
    const CertifiedKey svid = world.root.Issue(kWeb);
    world.Become(kWeb, svid);
    StreamClient caller = world.CallAs(kShop);
    REQUIRE(caller.end() == StreamEnd::kOpen);
    CHECK(caller.peer()->chain.front() == svid.chain.front());
  }
}

TEST_CASE(
    "attack 35: a root that leaves the bundle takes its peers' connections with it, and only "
    "them") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  const TestAuthority second("spiffe://example.org");
  const CertifiedKey own = world.root.Issue(kWeb);
  const std::vector<ca::Certificate> both{world.root.certificate(), second.certificate()};
  world.proxy->OnIdentity(MakeIdentity(1, kWeb, own, both));
  StreamClient old_root = world.CallAs(kShop);
  StreamClient new_root = world.Call("web", test::TrustingContext(second.Issue(kBatch)));
  REQUIRE(Talks(old_root));
  REQUIRE(Talks(new_root));
  world.proxy->OnIdentity(MakeIdentity(2, kWeb, own, both));
  CHECK(Talks(old_root));
  world.proxy->OnIdentity(MakeIdentity(3, kWeb, own, {second.certificate()}));
  CHECK(world.Closed("trust_changed") == 1);
  CHECK(old_root.WaitForEnd());
  CHECK(Talks(new_root));
}

TEST_CASE("peers of a federated trust domain are verified by its own bundle, and by no other") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), "{id: 'spiffe://partner.org/shop'}"));
  const TestAuthority partner("spiffe://partner.org");
  const CertifiedKey own = world.root.Issue(kWeb);
  const auto with_partner = [&](std::uint64_t generation, const ca::Certificate& root) {
    auto snapshot = std::make_shared<IdentitySnapshot>(
        *MakeIdentity(generation, kWeb, own, {world.root.certificate()}));
    identity::Bundle bundle;
    bundle.trust_domain = Domain("partner.org");
    bundle.x509_authorities.push_back({root, false});
    snapshot->bundles[bundle.trust_domain] = bundle;
    return snapshot;
  };
  world.proxy->OnIdentity(with_partner(1, partner.certificate()));
  StreamClient good =
      world.Call("web", test::TrustingContext(partner.Issue("spiffe://partner.org/shop")));
  CHECK(Talks(good));
  // Our own authority says that it is the partner's shop.
  StreamClient bad = world.CallAs("spiffe://partner.org/shop");
  CHECK(bad.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("certificate_untrusted") == 1; }));
  CHECK(Talks(good));
}

TEST_CASE("a connection ends with the peer's SVID") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  test::CertificateOptions soon;
  soon.uris = {kShop};
  soon.not_after = world.clock.Now() + 60s;
  StreamClient caller = world.Call("web", test::TrustingContext(world.root.Issue(soon)));
  StreamClient lasting = world.CallAs(kBatch);
  REQUIRE(Talks(caller));
  REQUIRE(Talks(lasting));
  world.Advance(59s);
  CHECK(Talks(caller));
  world.Advance(2s);
  CHECK(World::Eventually([&] { return world.Closed("peer_expired") == 1; }));
  CHECK(caller.WaitForEnd());
  CHECK(Talks(lasting));
}

TEST_CASE("a wall clock that jumps past the peer's end is noticed") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(Talks(caller));
  world.clock.SetWall(world.clock.Now() + 24h * 365 * 30);
  world.Advance(31s);
  CHECK(World::Eventually([&] { return world.Closed("peer_expired") == 1; }));
}

TEST_CASE("an identity that is withdrawn refuses new connections and cuts live ones") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(Talks(caller));
  world.proxy->OnIdentityWithdrawn({Code::kPermissionDenied, kIdentityDenied, "no entry"});
  CHECK(world.Closed("identity_lost") == 1);
  CHECK(caller.WaitForEnd());
  CHECK_FALSE(world.proxy->health().ready);
  StreamClient again = world.CallAs(kShop);
  CHECK(again.end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return world.Refused("no_identity") == 1; }));
  world.Become(kWeb);
  CHECK(world.proxy->health().ready);
  StreamClient back = world.CallAs(kShop);
  CHECK(Talks(back));
}

TEST_CASE(
    "attack 35: while the agent is away the last identity serves until it ends, and health says "
    "so") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  test::CertificateOptions hour;
  hour.uris = {kWeb};
  hour.not_after = world.clock.Now() + 1h;
  world.Become(kWeb, world.root.Issue(hour));
  world.proxy->OnAgentTrouble({Code::kUnavailable, kAgentAway, "connection refused"});
  CHECK(world.proxy->health().ready);
  REQUIRE(world.proxy->health().problems.size() == 1);
  StreamClient early = world.CallAs(kShop);
  REQUIRE(Talks(early));
  world.Advance(59min);
  StreamClient late = world.CallAs(kShop);
  REQUIRE(Talks(late));
  world.Advance(2min);
  CHECK_FALSE(world.proxy->health().ready);
  StreamClient over = world.CallAs(kShop);
  CHECK(over.end() == StreamEnd::kBroken);
  CHECK(World::Eventually([&] { return world.Refused("no_identity") >= 1; }));
  CHECK(Talks(late));  // stands on the peer's SVID, which lasts
  world.proxy->OnAgentBack();
  CHECK(world.proxy->health().problems.size() == 1);
}

TEST_CASE("a drain closes the listeners and waits for the connections there are") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()), 2);
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(Talks(caller));
  const auto address =
      *net::Address::Parse(world.proxy->ListenAddress(Direction::kInbound, "web")->ToString());
  std::promise<void> done;
  auto drained = done.get_future();
  world.proxy->BeginDrain([&] { done.set_value(); });
  CHECK_FALSE(world.proxy->health().ready);
  CHECK(World::Eventually([&] { return !net::Connect(address, 5s); }));
  CHECK(drained.wait_for(0s) == std::future_status::timeout);
  CHECK(Talks(caller));
  caller.CloseWrite();
  CHECK(caller.WaitForEnd());
  CHECK(caller.end() == StreamEnd::kOrderly);
  CHECK(drained.wait_for(test::kPatience) == std::future_status::ready);
}

TEST_CASE("what has not finished when the drain is over is cut") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  StreamClient caller = world.CallAs(kShop);
  REQUIRE(Talks(caller));
  std::promise<void> done;
  world.proxy->BeginDrain([&] { done.set_value(); });
  world.proxy->CutAll();
  CHECK(done.get_future().wait_for(test::kPatience) == std::future_status::ready);
  CHECK(world.Closed("drained") == 1);
  CHECK(caller.WaitForEnd());
  CHECK(caller.end() == StreamEnd::kBroken);
}

}  // namespace
}  // namespace signet::proxy
