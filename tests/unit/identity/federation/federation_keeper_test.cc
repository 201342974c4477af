#include "identity/federation/federation_keeper.h"

#include <arpa/inet.h>

#include <condition_variable>

#include "identity/federation/bundle_policy.h"
#include "tests/support/temp_dir.h"
#include "tests/support/web_endpoint.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using test::Domain;

net::SocketAddress At(const char* text) {
  net::SocketAddress address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  v4.sin_family = AF_INET;
  REQUIRE(inet_pton(AF_INET, text, &v4.sin_addr) == 1);
  address.length = sizeof v4;
  return address;
}

// A registry, an endpoint of one.test and a keeper that may reach it.
struct World : RegistryFixture {
  World() {
    Publish(1);
    settings.web_roots = folder.File("none.pem");
    settings.allowed_networks = {ParseNetwork("127.0.0.0/8").value()};
    observer = registry->AddObserver([this](const Change&) {
      const std::lock_guard lock(mutex);
      changed.notify_all();
    });
  }
  ~World() {
    keeper.reset();
    registry->RemoveObserver(observer);
  }
  Bundle BundleWith(std::uint64_t sequence) const {
    Bundle bundle;
    bundle.trust_domain = Domain("one.test");
    bundle.x509_authorities.push_back({authority.certificate(), false});
    bundle.sequence_number = sequence;
    bundle.refresh_hint = 3600;
    return bundle;
  }
  void Publish(std::uint64_t sequence) {
    endpoint.Publish(FormatSpiffeBundle(BundleWith(sequence)),
                     "\"" + std::to_string(sequence) + "\"");
  }
  FederationRelationship Relationship() const {
    FederationRelationship relationship;
    relationship.trust_domain = Domain("one.test");
    relationship.profile = EndpointProfile::kHttpsSpiffe;
    relationship.endpoint_id = SpiffeId::Parse("spiffe://one.test/endpoint").value();
    relationship.url = net::HttpsUrl::Parse(endpoint.Url("127.0.0.1")).value();
    return relationship;
  }
  void Start() {
    auto started = FederationKeeper::Start(settings, {*registry, clock, random, log, metrics});
    if (!started) FAIL(started.error().Message());
    keeper = *std::move(started);
  }
  void WaitForSequence(std::uint64_t sequence) {
    std::unique_lock lock(mutex);
    CHECK(changed.wait_for(lock, std::chrono::seconds(20), [&] {
      const auto bundle = registry->FindBundle(Domain("one.test"));
      return bundle != nullptr && bundle->sequence_number == sequence;
    }));
  }

  test::TempDir folder;
  test::TestAuthority authority{"spiffe://one.test"};
  test::WebEndpoint endpoint{authority.Issue("spiffe://one.test/endpoint")};
  FederationSettings settings;
  Logger log = Logger::Null();
  Metrics metrics;
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t observer = 0;
  std::unique_ptr<FederationKeeper> keeper;
};

}  // namespace

TEST_CASE("a relationship with a bundle is looked at at once, and on command") {
  World world;
  world.Start();
  CHECK(world.keeper->Refresh(Domain("one.test")).error().reason == kRelationshipUnknown);
  REQUIRE(world.registry->CreateRelationship(world.Relationship(), world.BundleWith(0)));
  world.WaitForSequence(1);
  world.Publish(2);
  REQUIRE(world.keeper->Refresh(Domain("one.test")));
  CHECK(world.registry->FindBundle(Domain("one.test"))->sequence_number == 2);
  REQUIRE(world.keeper->Refresh(Domain("one.test")));
  CHECK(world.endpoint.LastRequest().find("If-None-Match: \"2\"") != std::string::npos);
  const auto requests = world.endpoint.requests();
  REQUIRE(world.registry->RemoveRelationship(Domain("one.test")));
  CHECK(world.keeper->Refresh(Domain("one.test")).error().reason == kRelationshipUnknown);
  CHECK(world.endpoint.requests() == requests);
  CHECK(world.registry->FindBundle(Domain("one.test")) != nullptr);
}

TEST_CASE("an older or malformed bundle, or none, leaves the one that is held") {
  World world;
  REQUIRE(world.registry->CreateRelationship(world.Relationship(), world.BundleWith(5)));
  world.Publish(4);
  world.Start();
  const auto refresh = [&] { return world.keeper->Refresh(Domain("one.test")); };
  CHECK(refresh().error().reason == kBundleOlder);
  world.endpoint.Publish("{}");
  CHECK(refresh().error().reason == kBundleMalformed);
  world.endpoint.Publish("{\"keys\":[]}");
  CHECK(refresh().error().reason == kBundleEmpty);
  world.endpoint.Answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  CHECK(refresh().error().reason == net::kFetchRefused);
  CHECK(*world.registry->FindBundle(Domain("one.test")) == world.BundleWith(5));
}

TEST_CASE(
    "a relationship of the registry reaches no internal address unless its network is allowed") {
  World world;
  world.settings.allowed_networks.clear();
  REQUIRE(world.registry->CreateRelationship(world.Relationship(), world.BundleWith(0)));
  world.Start();
  const auto refused = world.keeper->Refresh(Domain("one.test"));
  CHECK(refused.error().code == Code::kPermissionDenied);
  CHECK(refused.error().reason == net::kFetchRefused);
  CHECK(world.endpoint.requests() == 0);
}

TEST_CASE(
    "a relationship of the configuration starts from its bundle file or its pin, reaches where "
    "it says, and hides one of the registry") {
  for (const bool by_file : {true, false}) {
    World world;
    world.settings.allowed_networks.clear();
    StaticRelationship fixed{.relationship = world.Relationship(), .bundle_file = {}, .pin = {}};
    if (by_file) {
      fixed.bundle_file = world.folder.File("one.pem");
      REQUIRE(WriteFileAtomically(fixed.bundle_file,
                                  AsBytes(ca::ToPem(world.authority.certificate())), 0644));
    } else {
      fixed.pin = world.authority.certificate().fingerprint();
    }
    auto hidden = world.Relationship();
    hidden.url = net::HttpsUrl::Parse("https://169.254.169.254/").value();
    REQUIRE(world.registry->CreateRelationship(hidden, std::nullopt));
    world.settings.relationships = {fixed};
    world.Start();
    world.WaitForSequence(1);
  }
}

TEST_CASE(
    "a bundle file that holds no bundle keeps the server from starting, unless it is needless") {
  World world;
  StaticRelationship fixed{.relationship = world.Relationship(), .bundle_file = {}, .pin = {}};
  fixed.bundle_file = world.folder.File("one.json");
  world.settings.relationships = {fixed};
  const auto start = [&] {
    return FederationKeeper::Start(
        world.settings, {*world.registry, world.clock, world.random, world.log, world.metrics});
  };
  CHECK(start().error().reason == kBundleFileUnusable);
  REQUIRE(WriteFileAtomically(fixed.bundle_file, AsBytes("{\"keys\":[]}"), 0644));
  CHECK(start().error().reason == kBundleFileUnusable);
  REQUIRE(WriteFileAtomically(fixed.bundle_file, AsBytes(FormatSpiffeBundle(world.BundleWith(1))),
                              0644));
  CHECK(start());
  CHECK(world.registry->FindBundle(Domain("one.test"))->sequence_number == 1);
  REQUIRE(WriteFileAtomically(fixed.bundle_file, AsBytes("nothing"), 0644));
  CHECK(start());
}

TEST_CASE("networks are read and hold what they should") {
  const auto loopback = ParseNetwork("127.0.0.0/8");
  REQUIRE(loopback);
  CHECK(Contains(*loopback, At("127.9.9.9")));
  CHECK_FALSE(Contains(*loopback, At("128.0.0.1")));
  CHECK(Contains(*ParseNetwork("10.1.2.3"), At("10.1.2.3")));
  CHECK_FALSE(Contains(*ParseNetwork("10.1.2.3"), At("10.1.2.2")));
  CHECK(Contains(*ParseNetwork("0.0.0.0/0"), At("10.1.2.2")));
  CHECK_FALSE(Contains(*ParseNetwork("::/0"), At("10.1.2.2")));
  CHECK(Contains(*ParseNetwork("::ffff:127.0.0.0"), At("127.0.0.0")));
  for (const char* text : {"", "x", "127.0.0.0/33", "127.0.0.0/", "127.0.0.0/8x", "::1/129", "/8"})
    CHECK_FALSE(ParseNetwork(text));
}

}  // namespace signet::identity
