// Whom the agent says is revoked: refused, and cut from what is open.

#include "proxy/identity/denial_gate.h"
#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {
namespace {

using namespace std::chrono_literals;
using identity::Denial;
using identity::DenialKind;
using identity::DenialSet;
using identity::DenialSetPtr;

constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kBatch = "spiffe://example.org/batch";
constexpr const char* kWeb = "spiffe://example.org/web";

using test::Talks;

DenialSetPtr Denying(DenialKind kind, const std::string& subject, std::int64_t until = 0) {
  Denial denial;
  denial.id = "denial-1";
  denial.kind = kind;
  denial.subject = *identity::NormalizeDenialSubject(kind, subject);
  denial.until = until;
  return DenialSet::Create({std::make_shared<const Denial>(std::move(denial))});
}

TEST_CASE("a denied identity is cut from what is open and refused from then on, others are not") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  StreamClient shop = world.CallAs(kShop);
  StreamClient batch = world.CallAs(kBatch);
  REQUIRE(Talks(shop));
  REQUIRE(Talks(batch));
  world.proxy->Deny(Denying(DenialKind::kSpiffeId, kBatch));
  // Deny() returned: it is in force, on live connections too.
  CHECK(world.Closed("revoked") == 1);
  CHECK(batch.WaitForEnd());
  CHECK(batch.end() == StreamEnd::kBroken);
  CHECK(Talks(shop));
  StreamClient again = world.CallAs(kBatch);
  CHECK(again.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("revoked") == 1; }));
  world.proxy->Deny(DenialSet::Create({}));
  StreamClient forgiven = world.CallAs(kBatch);
  CHECK(Talks(forgiven));
}

TEST_CASE(
    "attack 37: a denied certificate is cut by its serial; a new one of the same identity is not") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  const auto leaked = world.root.Issue(kBatch);
  StreamClient old = world.Call("web", test::TrustingContext(leaked));
  REQUIRE(Talks(old));
  world.proxy->Deny(Denying(DenialKind::kSerial, leaked.chain.front().SerialHex()));
  CHECK(old.WaitForEnd());
  CHECK(world.Closed("revoked") == 1);
  StreamClient fresh = world.CallAs(kBatch);
  CHECK(Talks(fresh));
}

TEST_CASE("attack 37: with the serial of an authority on the path goes what it signed") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  const test::TestAuthority middle = world.root.IssueAuthority("spiffe://example.org");
  StreamClient below = world.Call("web", test::TrustingContext(middle.Issue(kBatch)));
  StreamClient beside = world.CallAs(kBatch);
  REQUIRE(Talks(below));
  REQUIRE(Talks(beside));
  world.proxy->Deny(Denying(DenialKind::kSerial, middle.certificate().SerialHex()));
  CHECK(below.WaitForEnd());
  CHECK(world.Closed("revoked") == 1);
  StreamClient again = world.Call("web", test::TrustingContext(middle.Issue(kShop)));
  CHECK(again.WaitForEnd());
  CHECK(Talks(beside));
}

TEST_CASE("attack 24: a revoked peer of an outbound listener is cut and not dialled again") {
  const test::TestAuthority root("spiffe://example.org");
  TestBackend peer(TestBackend::Echo,
                   test::TrustingContext(root.Issue(kBatch), net::TlsRole::kServer));
  World world(OutboundYaml(peer.address(), "{id: 'spiffe://example.org/batch'}"));
  world.proxy->OnIdentity(MakeIdentity(1, kWeb, root.Issue(kWeb), {root.certificate()}));
  StreamClient caller = world.Call("out", nullptr, Direction::kOutbound);
  REQUIRE(Talks(caller));
  world.proxy->Deny(Denying(DenialKind::kSpiffeId, kBatch));
  CHECK(world.Closed("revoked", "out", "outbound") == 1);
  CHECK(caller.WaitForEnd());
  StreamClient again = world.Call("out", nullptr, Direction::kOutbound);
  CHECK(again.WaitForEnd());
  CHECK(World::Eventually([&] { return world.Refused("revoked", "out", "outbound") == 1; }));
}

TEST_CASE("a denial ends by itself, without a word of the agent's") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()));
  world.Become(kWeb);
  world.proxy->Deny(Denying(DenialKind::kSpiffeId, kBatch, UnixSeconds(world.clock.Now()) + 10));
  StreamClient early = world.CallAs(kBatch);
  CHECK(early.WaitForEnd());
  world.Advance(10s);
  StreamClient late = world.CallAs(kBatch);
  CHECK(Talks(late));
}

TEST_CASE("attack 24: no connection outlives a denial, whenever in its life it comes") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address()), 2);
  world.Become(kWeb);
  const DenialSetPtr denied = Denying(DenialKind::kSpiffeId, kBatch);
  const DenialSetPtr nobody = DenialSet::Create({});
  world.ExpectNoneOutlives(
      kBatch, [&] { world.proxy->Deny(nobody); }, [&] { world.proxy->Deny(denied); });
}

TEST_CASE("a connection outlives the peer's SVID by the grace that is configured, and no more") {
  TestBackend backend(TestBackend::Echo);
  World world(InboundYaml(backend.address(), "{id: 'spiffe://example.org/*'}",
                          "limits: {expiry_grace: 30s}"));
  world.Become(kWeb);
  test::CertificateOptions soon;
  soon.uris = {kShop};
  soon.not_after = world.clock.Now() + 60s;
  const auto context = test::TrustingContext(world.root.Issue(soon));
  StreamClient caller = world.Call("web", context);
  REQUIRE(Talks(caller));
  world.Advance(61s);
  CHECK(Talks(caller));
  world.proxy->Deny(DenialSet::Create({}));  // decided again within the grace
  CHECK(Talks(caller));
  StreamClient late = world.Call("web", context);  // the grace is for what is open
  CHECK(late.WaitForEnd());
  world.Advance(31s);
  CHECK(caller.WaitForEnd());
  CHECK(world.Closed("peer_expired") == 1);
}

// ---- the gate

struct HeardByProxy final : IdentityObserver {
  void OnIdentity(IdentityPtr snapshot) override { identities.push_back(std::move(snapshot)); }
  void OnIdentityWithdrawn(const Error&) override { ++withdrawn; }
  void OnAgentTrouble(const Error&) override { ++trouble; }
  void OnAgentBack() override {}
  std::vector<IdentityPtr> identities;
  int withdrawn = 0;
  int trouble = 0;
};

struct GateWorld {
  HeardByProxy proxy;
  std::vector<std::size_t> identities_at_denial;
  Logger log = Logger::Null();
  DenialGate gate{
      proxy,
      [this](const DenialSetPtr&) { identities_at_denial.push_back(proxy.identities.size()); },
      log};
  IdentityPtr identity = std::make_shared<const IdentitySnapshot>();
};

TEST_CASE("an identity waits until it is known who is revoked, which counts first") {
  GateWorld w;
  w.gate.OnIdentity(w.identity);
  w.gate.OnDenialTrouble({Code::kUnavailable, kDenialsAway, {}});
  CHECK(w.proxy.identities.empty());
  CHECK(w.proxy.trouble == 1);  // health says what is waited for
  w.gate.OnDenials(DenialSet::Create({}));
  CHECK(w.identities_at_denial == std::vector<std::size_t>{0});
  CHECK(w.proxy.identities.size() == 1);
  w.gate.OnIdentity(w.identity);
  CHECK(w.proxy.identities.size() == 2);
}

TEST_CASE("an agent that knows no denials holds nothing up") {
  GateWorld w;
  w.gate.OnNoDenials();
  w.gate.OnIdentity(w.identity);
  CHECK(w.proxy.identities.size() == 1);
}

TEST_CASE("an identity withdrawn while it waits does not come later") {
  GateWorld w;
  w.gate.OnIdentity(w.identity);
  w.gate.OnIdentityWithdrawn({Code::kPermissionDenied, kIdentityDenied, {}});
  w.gate.OnDenials(DenialSet::Create({}));
  CHECK(w.proxy.identities.empty());
  CHECK(w.proxy.withdrawn == 1);
}

TEST_CASE("an identity that comes back after silence waits for news of who is revoked") {
  GateWorld w;
  const Error denied{Code::kPermissionDenied, kIdentityDenied, {}};
  const Error away{Code::kUnavailable, kDenialsAway, {}};
  w.gate.OnDenials(DenialSet::Create({}));
  w.gate.OnIdentity(w.identity);
  REQUIRE(w.proxy.identities.size() == 1);
  w.gate.OnDenialTrouble(away);
  w.gate.OnIdentity(w.identity);  // a rotation: what was heard last counts
  CHECK(w.proxy.identities.size() == 2);
  const bool withdrawn_first = GENERATE(true, false);
  if (withdrawn_first) w.gate.OnDenials(DenialSet::Create({}));
  w.gate.OnIdentityWithdrawn(denied);
  if (withdrawn_first) w.gate.OnDenialTrouble(away);
  w.gate.OnIdentity(w.identity);
  CHECK(w.proxy.identities.size() == 2);
  w.gate.OnDenials(DenialSet::Create({}));
  CHECK(w.proxy.identities.size() == 3);
}

TEST_CASE("an identity that comes back while the agent is heard does not wait") {
  GateWorld w;
  w.gate.OnDenials(DenialSet::Create({}));
  w.gate.OnIdentity(w.identity);
  w.gate.OnIdentityWithdrawn({Code::kPermissionDenied, kIdentityDenied, {}});
  w.gate.OnIdentity(w.identity);
  CHECK(w.proxy.identities.size() == 2);
}

}  // namespace
}  // namespace signet::proxy
