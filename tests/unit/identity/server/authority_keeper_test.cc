#include "identity/server/authority_keeper.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "ca/x509/path.h"
#include "identity/server/authority_publication.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/store_values.h"

namespace signet::identity {
namespace {

using ca::AuthorityState;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

// A server's world, where everything but the machine's memory survives Restart().
struct World {
  test::FakeClock clock;
  OsRandom random;
  Metrics metrics;
  Logger log = Logger::Null();
  AuthoritySettings settings;
  ca::MemoryKeyStore keys;
  std::unique_ptr<test::FakeStore> store = std::make_unique<test::FakeStore>();
  std::unique_ptr<Registry> registry;
  std::unique_ptr<AuthorityKeeper> keeper;

  Status Start() {
    SIGNET_TRY(registry, Registry::Load(*store, kTrustDomain, clock, random));
    SIGNET_TRY(keeper, AuthorityKeeper::Start(*store, *registry, keys, settings, clock, random, log,
                                              metrics));
    return {};
  }
  Status Restart() {
    Stop();
    return Start();
  }
  void Stop() {
    keeper.reset();
    registry.reset();
    store = store->Reopen();
  }

  std::vector<ca::AuthoritySlot> Slots(std::string_view type) const {
    std::vector<ca::AuthoritySlot> slots;
    for (const auto& status : keeper->Slots()) {
      if (status.type == type) slots.push_back(status.slot);
    }
    return slots;
  }
  std::size_t Count(std::string_view type, AuthorityState state) const {
    const auto slots = Slots(type);
    return static_cast<std::size_t>(
        std::count_if(slots.begin(), slots.end(),
                      [&](const ca::AuthoritySlot& slot) { return slot.state == state; }));
  }
  bool InBundle(const ca::X509Authority& authority) const {
    for (const ca::Certificate& root : registry->OwnBundle()->X509Roots()) {
      if (root == authority.certificate()) return true;
    }
    return false;
  }
  // A leaf by the active authority, for `ttl` or until the authority's end.
  Result<ca::Certificate> Issue(seconds ttl) {
    static const ca::PrivateKey key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
    const ca::LeafProfile profile{.uri_san = "spiffe://example.org/w",
                                  .dns_sans = {},
                                  .subject = {},
                                  .not_before = clock.Now() - seconds(10),
                                  .not_after = clock.Now() + ttl};
    const auto active = keeper->Active();
    SIGNET_TRY(const auto prepared,
               active->Prepare(key.public_key(), profile, random, clock.Now()));
    return active->Sign(prepared);
  }
  bool Verifies(const ca::Certificate& leaf) const {
    return ca::BuildPath({&leaf, 1}, registry->OwnBundle()->X509Roots(), clock.Now()).has_value();
  }
  void AddLiveAgent() {
    const auto id = AgentId(kTrustDomain, "join_token", "a").value();
    REQUIRE(registry->ChangeNode(id, [&](Node& node) -> Status {
      node.attestation_type = "join_token";
      node.serial = "1";
      node.serial_expires_at = UnixSeconds(clock.Now() + hours(1000));
      return {};
    }));
  }
  bool Shows(const std::string& line) const {
    return metrics.Text().find(line + "\n") != std::string::npos;
  }
};

// A key store whose keys cannot be read: wrong permissions, wrong key-encryption key.
class UnreadableKeyStore final : public ca::KeyStore {
 public:
  Result<std::shared_ptr<const ca::Signer>> Generate(const std::string&, ca::KeyType) override {
    ++generated;
    return Fail(Code::kDataLoss, ca::kKeyStoreUnusable);
  }
  Result<std::shared_ptr<const ca::Signer>> Find(const std::string&) override {
    return Fail(Code::kDataLoss, ca::kKeyStoreUnusable, "damaged");
  }
  Status Remove(const std::string&) override { return {}; }
  std::vector<std::string> Names() override { return {}; }
  int generated = 0;
};

}  // namespace

TEST_CASE("an empty server makes one authority of each type and publishes both in one change") {
  World w;
  REQUIRE(w.Start());
  const auto active = w.keeper->Active();
  REQUIRE(active != nullptr);
  CHECK(w.InBundle(*active));
  CHECK(active->certificate().uri_sans() == std::vector<std::string>{"spiffe://example.org"});
  CHECK(active->certificate().not_before() == w.clock.Now() - seconds(10));
  CHECK(active->certificate().not_after() == w.clock.Now() + hours(24));
  const BundlePtr bundle = w.registry->OwnBundle();
  CHECK(bundle->sequence_number == 1);
  CHECK(bundle->x509_authorities.size() == 1);
  REQUIRE(bundle->jwt_authorities.size() == 1);
  CHECK(bundle->jwt_authorities[0].expires_at == UnixSeconds(w.clock.Now() + hours(24)));
  CHECK(w.keys.Names() == std::vector<std::string>{"JWT-Signer-A", "x509-CA-A"});
  REQUIRE(w.Slots("x509").size() == 1);
  CHECK(w.Slots("x509")[0].id == active->id());
  CHECK(w.Slots("x509")[0].state == AuthorityState::kActive);
  REQUIRE(w.Slots("jwt").size() == 1);
  CHECK(w.Slots("jwt")[0].id == bundle->jwt_authorities[0].key_id);
  const auto rows = test::LoadIssuances(*w.store, active->certificate().SerialHex(), 10);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].purpose == "root");
  CHECK(w.Shows("signet_server_authority_activations_total{type=\"x509\"} 1"));
}

TEST_CASE("a restart goes on with the same authorities and writes nothing") {
  World w;
  REQUIRE(w.Start());
  const std::string id = w.keeper->Active()->id();
  REQUIRE(w.Restart());
  CHECK(w.keeper->Active()->id() == id);
  CHECK(w.store->commits() == 0);
  CHECK(w.registry->OwnBundle()->sequence_number == 1);
  CHECK(w.Verifies(w.Issue(hours(1)).value()));
}

TEST_CASE(
    "a day's authority is prepared past half its life, takes over past five sixths and is pruned a "
    "day late") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->Active()->id();
  w.clock.Advance(hours(12));
  REQUIRE(w.keeper->Tick());
  CHECK(w.Slots("x509").size() == 1);
  w.clock.Advance(seconds(1));
  REQUIRE(w.keeper->Tick());
  CHECK(w.Count("x509", AuthorityState::kPrepared) == 1);
  CHECK(w.Count("jwt", AuthorityState::kPrepared) == 1);
  CHECK(w.registry->OwnBundle()->sequence_number == 2);
  CHECK(w.registry->OwnBundle()->x509_authorities.size() == 2);
  CHECK(w.registry->OwnBundle()->jwt_authorities.size() == 2);
  CHECK(w.keeper->Active()->id() == first);
  w.clock.Advance(hours(8) - seconds(1));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active()->id() == first);
  w.clock.Advance(seconds(1));
  REQUIRE(w.keeper->Tick());
  const std::string second = w.keeper->Active()->id();
  CHECK(second != first);
  CHECK(w.InBundle(*w.keeper->Active()));
  CHECK(w.Count("x509", AuthorityState::kOld) == 1);
  CHECK(w.registry->OwnBundle()->sequence_number == 2);
  w.clock.Advance(hours(5));
  REQUIRE(w.keeper->Tick());
  CHECK(w.registry->OwnBundle()->x509_authorities.size() == 3);
  w.clock.Advance(hours(23));  // the first ended a day ago
  REQUIRE(w.keeper->Tick());
  for (const auto& slot : w.Slots("x509")) CHECK(slot.id != first);
  for (const auto& authority : w.registry->OwnBundle()->x509_authorities) {
    CHECK(EncodeHex(authority.certificate.subject_key_id()) != first);
  }
}

TEST_CASE("through three generations every living leaf verifies and none is cut") {
  World w;
  w.settings.ca_ttl = minutes(60);
  REQUIRE(w.Start());
  const seconds ttl = std::chrono::duration_cast<seconds>(ca::MaxUncutTtl(w.settings.ca_ttl));
  std::vector<ca::Certificate> leaves;
  std::map<std::string, WallTime> published;  // first seen in the bundle
  std::vector<std::string> generations;
  std::size_t most_in_bundle = 0;
  for (int minute = 0; minute < 240; ++minute) {
    if (minute % 50 == 49) REQUIRE(w.Restart());
    REQUIRE(w.keeper->Tick());
    for (const ca::Certificate& root : w.registry->OwnBundle()->X509Roots()) {
      published.try_emplace(EncodeHex(root.subject_key_id()), w.clock.Now());
    }
    const std::string id = w.keeper->Active()->id();
    if (generations.empty() || generations.back() != id) {
      // A new authority was in the bundle for a third of a life before it signed.
      if (!generations.empty()) CHECK(w.clock.Now() - published.at(id) >= minutes(18));
      generations.push_back(id);
    }
    const auto leaf = w.Issue(ttl);
    REQUIRE(leaf);
    CHECK(leaf->not_after() - w.clock.Now() >= ttl - seconds(60));
    leaves.push_back(*leaf);
    for (const ca::Certificate& one : leaves) {
      if (one.not_after() > w.clock.Now()) CHECK(w.Verifies(one));
    }
    CHECK(w.Count("x509", AuthorityState::kActive) == 1);
    CHECK(w.Count("jwt", AuthorityState::kActive) == 1);
    most_in_bundle = std::max(most_in_bundle, w.registry->OwnBundle()->x509_authorities.size());
    CHECK(w.registry->OwnBundle()->jwt_authorities.size() ==
          w.registry->OwnBundle()->x509_authorities.size());
    w.clock.Advance(minutes(1));
  }
  CHECK(generations.size() >= 4);
  CHECK(std::set<std::string>(generations.begin(), generations.end()).size() == generations.size());
  CHECK(most_in_bundle <= 4);
  CHECK(w.keys.Names().size() == 4);
}

TEST_CASE(
    "a due authority waits until every live agent holds it, and no longer than it safely can") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->Active()->id();
  Acknowledgement answer{.all = false,
                         .acknowledged = 1,
                         .live = 3,
                         .waiting_for = {"spiffe://example.org/spire/agent/x"}};
  std::map<std::string, Revision> asked;
  w.keeper->SetAcknowledgementSource([&](const std::string& id, Revision published_at) {
    asked[id] = published_at;
    return answer;
  });
  w.clock.Advance(hours(13));
  REQUIRE(w.keeper->Tick());
  const Revision published = w.registry->revision();
  w.clock.Advance(hours(8));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active()->id() == first);
  CHECK(w.Shows("signet_server_authority_waiting_agents{type=\"x509\"} 2"));
  bool seen = false;
  for (const auto& status : w.keeper->Slots()) {
    if (status.type != "x509" || status.slot.state != AuthorityState::kPrepared) continue;
    seen = true;
    CHECK(status.acknowledgement.waiting_for == answer.waiting_for);
    // The bundle that holds it was the last thing committed.
    CHECK(asked.at(status.slot.id) == published);
  }
  CHECK(seen);
  SECTION("acknowledged") {
    answer = {.all = true, .acknowledged = 3, .live = 3, .waiting_for = {}};
    REQUIRE(w.keeper->Tick());
    CHECK(w.keeper->Active()->id() != first);
    CHECK(w.Shows("signet_server_authority_waiting_agents{type=\"x509\"} 0"));
  }
  SECTION("never acknowledged") {
    w.clock.Advance(hours(3) - minutes(5));
    REQUIRE(w.keeper->Tick());
    CHECK(w.keeper->Active()->id() == first);
    w.clock.Advance(seconds(1));
    REQUIRE(w.keeper->Tick());
    CHECK(w.keeper->Active()->id() != first);
  }
}

TEST_CASE("without a source only a server without live agents goes on") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->Active()->id();
  w.AddLiveAgent();
  w.clock.Advance(hours(13));
  REQUIRE(w.keeper->Tick());
  w.clock.Advance(hours(8));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active()->id() == first);
  REQUIRE(w.registry->BanNode(AgentId(kTrustDomain, "join_token", "a").value()));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active()->id() != first);
}

TEST_CASE(
    "an authority whose key is lost or replaced is followed by a new one at once and stays "
    "published") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->Active()->id();
  const auto leaf = w.Issue(hours(1)).value();
  SECTION("lost") { REQUIRE(w.keys.Remove("x509-CA-A")); }
  SECTION("replaced") { REQUIRE(w.keys.Generate("x509-CA-A", ca::KeyType::kEcP256)); }
  REQUIRE(w.Restart());
  CHECK(w.keeper->Active()->id() != first);
  CHECK(w.InBundle(*w.keeper->Active()));
  CHECK(w.Verifies(leaf));
  CHECK(w.Count("x509", AuthorityState::kOld) == 1);
  CHECK(w.Count("jwt", AuthorityState::kActive) == 1);
  CHECK(w.registry->OwnBundle()->jwt_authorities.size() == 1);
}

TEST_CASE("a server whose memory of keys is gone starts with new ones of both types") {
  World w;
  REQUIRE(w.Start());
  for (const std::string& name : w.keys.Names()) REQUIRE(w.keys.Remove(name));
  REQUIRE(w.Restart());
  CHECK(w.registry->OwnBundle()->x509_authorities.size() == 2);
  CHECK(w.registry->OwnBundle()->jwt_authorities.size() == 2);
  CHECK(w.Verifies(w.Issue(hours(1)).value()));
}

TEST_CASE("a key that is there but cannot be read fails the start, and nothing is replaced") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->Active()->id();
  w.Stop();
  const std::size_t commits = w.store->commits();
  UnreadableKeyStore unreadable;
  w.registry = Registry::Load(*w.store, kTrustDomain, w.clock, w.random).value();
  const auto refused = AuthorityKeeper::Start(*w.store, *w.registry, unreadable, w.settings,
                                              w.clock, w.random, w.log, w.metrics);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == ca::kKeyStoreUnusable);
  CHECK(unreadable.generated == 0);
  CHECK(w.store->commits() == commits);
  REQUIRE(w.Restart());
  CHECK(w.keeper->Active()->id() == first);
}

TEST_CASE("an authority that left the bundle signs no more") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->Active()->id();
  REQUIRE(w.registry->ChangeOwnBundle([](Bundle& bundle) -> Status {
    bundle.x509_authorities.clear();
    return {};
  }));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active()->id() != first);
  CHECK(w.InBundle(*w.keeper->Active()));
  CHECK(w.registry->OwnBundle()->x509_authorities.size() == 1);
}

TEST_CASE("after a long sleep with both authorities ended a new one is made at once") {
  World w;
  REQUIRE(w.Start());
  w.clock.Advance(hours(13));
  REQUIRE(w.keeper->Tick());
  w.clock.Advance(hours(100));
  SECTION("asleep") { REQUIRE(w.keeper->Tick()); }
  SECTION("off") { REQUIRE(w.Restart()); }
  CHECK(w.Verifies(w.Issue(hours(1)).value()));
  CHECK(w.Count("x509", AuthorityState::kActive) == 1);
  // What ended more than a day ago is gone, recorded or not.
  REQUIRE(w.keeper->Tick());
  CHECK(w.registry->OwnBundle()->x509_authorities.size() == 1);
  CHECK(w.registry->OwnBundle()->jwt_authorities.size() == 1);
}

TEST_CASE("a server that cannot write keeps its authority, says so, and goes on when it can") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->Active()->id();
  w.clock.Advance(hours(13));
  w.store->Break({Code::kUnavailable, kStoreFull, "disk full"});
  CHECK(w.keeper->Tick().error().reason == kStoreFull);
  CHECK(w.keeper->Active()->id() == first);
  CHECK(w.Slots("x509").size() == 1);
  CHECK(w.registry->OwnBundle()->x509_authorities.size() == 1);
  CHECK_FALSE(w.Shows("signet_server_authority_errors_total 0"));
  w.store->Heal();
  REQUIRE(w.keeper->Tick());
  CHECK(w.Count("x509", AuthorityState::kPrepared) == 1);
  World empty;
  empty.registry = Registry::Load(*empty.store, kTrustDomain, empty.clock, empty.random).value();
  empty.store->Break({Code::kUnavailable, kStoreFull, "disk full"});
  const auto refused =
      AuthorityKeeper::Start(*empty.store, *empty.registry, empty.keys, empty.settings, empty.clock,
                             empty.random, empty.log, empty.metrics);
  CHECK(refused.error().reason == kStoreFull);
}

TEST_CASE("a root is not signed when the issuance journal fails") {
  World w;
  REQUIRE(w.Start());
  w.clock.Advance(hours(13));
  w.store->FailNextAppend({Code::kUnavailable, kStoreFull, "disk full"});
  CHECK(w.keeper->Tick().error().reason == kStoreFull);
  CHECK(w.Count("x509", AuthorityState::kPrepared) == 0);
  CHECK(w.Count("jwt", AuthorityState::kPrepared) == 1);
  CHECK(w.registry->OwnBundle()->x509_authorities.size() == 1);
}

}  // namespace signet::identity
