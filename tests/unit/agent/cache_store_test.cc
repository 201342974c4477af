#include "agent/sync/cache_store.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/signing_authority.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using namespace std::chrono_literals;
using signet::test::FakeClock;
using signet::test::SigningAuthority;
using signet::test::TempDir;

namespace {

constexpr const char* kAgent = "spiffe://example.org/spire/agent/join_token/x";

// A data directory with an attested node; each Start() is a start of the agent in it.
struct Fixture {
  Fixture() {
    kek = *LoadOrCreateKek(dir.File("kek"));
    OpenNode();
    REQUIRE(node->SetIdentity(MakeIdentity(kAgent), authority.bundle(), {}));
    OpenStore();
  }
  void OpenNode() {
    node.reset();
    node =
        std::move(*NodeState::Open(SealedFile(dir.File("node.sealed"), kek, "node"), ExampleOrg()));
  }
  void OpenStore(bool on = true) {
    store.reset();
    cache = std::make_unique<Cache>(ExampleOrg());
    store = std::make_unique<CacheStore>(
        Path(), on ? kek : nullptr, CacheStoreParts{*cache, *node, clock, random, log, metrics});
    cache->Observe([this] { store->Wake(); });
  }
  // As after kill -9: what is on disk is all there is.
  void Restart() {
    OpenNode();
    OpenStore();
  }
  std::string Path() const { return dir.File("cache.sealed"); }
  NodeIdentity MakeIdentity(const std::string& id) const {
    auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
    auto chain = authority.Certify(key->public_key(), id, clock.Now(), clock.Now() + 24h,
                                   ca::Purpose::kAgent);
    return {*identity::SpiffeId::Parse(id), std::move(chain),
            std::make_shared<const ca::PrivateKey>(std::move(*key))};
  }
  // Takes these on and keeps them.
  void Keep(std::uint64_t revision, const std::vector<AuthorizedEntry>& entries) {
    store->Start();
    SvidList svids;
    for (const auto& entry : entries)
      svids.emplace_back(entry.id, Svid(authority, entry, clock.Now(), clock.Now() + 1h));
    REQUIRE(cache->Apply(Full(revision, entries, {authority.bundle()})));
    cache->Install(svids);
    store->Stop();
  }
  Bytes Content() const { return *ReadFile(Path(), kMostCacheBytes); }

  TempDir dir;
  FakeClock clock;
  OsRandom random;
  const Logger log = Logger::Null();
  Metrics metrics;
  SigningAuthority authority{"example.org", clock.Now()};
  std::shared_ptr<const SecretBytes> kek;
  std::unique_ptr<NodeState> node;
  std::unique_ptr<Cache> cache;
  std::unique_ptr<CacheStore> store;
};

AuthorizedEntry Rich() {
  auto entry = Entry("a", "/a", {"unix:uid:1", "unix:gid:2"});
  entry.hint = "internal";
  entry.revision_number = 7;
  entry.expires_at = FakeClock::kDefaultUnixSeconds + 7200;
  entry.federates_with = {*identity::TrustDomain::Parse("one.test")};
  entry.disable_x509_svid_prefetch = true;
  return entry;
}

}  // namespace

TEST_CASE("what was kept is served again as it was") {
  Fixture f;
  f.Keep(42, {Rich(), Entry("b", "/b", {"unix:uid:1"})});
  const SnapshotPtr before = f.cache->Current();
  f.Restart();
  REQUIRE(f.store->Restore());
  const SnapshotPtr after = f.cache->Current();
  CHECK(after->synced);
  CHECK(after->revision == 42);
  CHECK(after->entries.digest() == before->entries.digest());
  CHECK(after->FindBundle(ExampleOrg())->bundle == f.authority.bundle());
  const HeldEntry& was = *before->entries.Find("a");
  const HeldEntry& is = *after->entries.Find("a");
  CHECK(is.entry->selectors == was.entry->selectors);
  CHECK(is.entry->hint == "internal");
  CHECK(is.entry->expires_at == was.entry->expires_at);
  CHECK(is.entry->federates_with == was.entry->federates_with);
  CHECK(is.entry->disable_x509_svid_prefetch);
  REQUIRE(is.svid);
  CHECK(is.svid->ChainDer() == was.svid->ChainDer());
  CHECK(Equal(is.svid->key.view(), was.svid->key.view()));
  CHECK(is.svid->not_after == was.svid->not_after);
  CHECK(is.svid->fingerprint == was.svid->fingerprint);
  CHECK(is.svid->IsFor(*is.entry));
  CHECK(is.svid->issuers == after->entries.Find("b")->svid->issuers);  // one copy
}

TEST_CASE("many SVIDs go in many segments; their keys are nowhere in the file") {
  Fixture f;
  std::vector<AuthorizedEntry> entries;
  const auto first = Entry("e1000", "/e", {"unix:uid:1"});
  const SvidPtr svid = Svid(f.authority, first, f.clock.Now(), f.clock.Now() + 1h);
  SvidList svids;
  for (int i = 1000; i < 2000; ++i) {
    entries.push_back(Entry("e" + std::to_string(i), "/e", {"unix:uid:1"}));
    svids.emplace_back(entries.back().id, svid);
  }
  f.store->Start();
  REQUIRE(f.cache->Apply(Full(1, entries, {f.authority.bundle()})));
  f.cache->Install(svids);
  f.store->Stop();
  const Bytes content = f.Content();
  REQUIRE(SplitCacheFile(content));
  CHECK(SplitCacheFile(content)->sealed.size() > 2);
  const ByteView key = svid->key.view();
  CHECK(std::ranges::search(content, key).empty());
  CHECK(std::ranges::search(content, AsBytes("example.org")).empty());
  f.Restart();
  REQUIRE(f.store->Restore());
  std::size_t count = 0;
  f.cache->Current()->entries.ForEach([&](const HeldEntry& held) { count += held.svid ? 1 : 0; });
  CHECK(count == 1000);
}

TEST_CASE("any bit changed, any cut, anything added: refused whole, and the agent goes on") {
  Fixture f;
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  const Bytes good = f.Content();
  const auto refused = [&](const Bytes& content) {
    REQUIRE(WriteFileAtomically(f.Path(), content, 0600));
    f.Restart();
    const Status restored = f.store->Restore();
    return !restored && !f.cache->Current()->synced;
  };
  for (std::size_t at = 0; at < good.size(); at += 7) {
    Bytes bad = good;
    bad[at] ^= 0x40;
    INFO("at " << at);
    REQUIRE(refused(bad));
  }
  for (std::size_t size = 0; size < good.size(); size += 11)
    REQUIRE(refused(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))));
  Bytes longer = good;
  longer.push_back(0);
  CHECK(refused(longer));
  CHECK(refused({}));
  // And it is written anew.
  f.Keep(2, {Entry("b", "/b", {"unix:uid:1"})});
  f.Restart();
  REQUIRE(f.store->Restore());
  CHECK(f.cache->Current()->entries.Find("b"));
}

TEST_CASE("segments of one file do not pass for those of another, nor in another order") {
  Fixture f;
  std::vector<AuthorizedEntry> entries;
  for (int i = 1000; i < 7000; ++i)
    entries.push_back(
        Entry("e" + std::to_string(i), "/a/long/path/to/fill/segments", {"unix:uid:1"}));
  f.store->Start();
  REQUIRE(f.cache->Apply(Full(1, entries, {f.authority.bundle()})));
  f.store->Stop();
  const Bytes content = f.Content();
  const CacheFrames frames = *SplitCacheFile(content);
  REQUIRE(frames.sealed.size() >= 3);
  const std::size_t head = static_cast<std::size_t>(frames.sealed[0].data() - content.data()) - 4;
  const auto with = [&](const std::vector<std::size_t>& order) {
    Bytes made(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(head));
    for (const std::size_t i : order) {
      const std::uint8_t* begin = frames.sealed[i].data() - 4;
      made.insert(made.end(), begin, begin + 4 + frames.sealed[i].size());
    }
    REQUIRE(WriteFileAtomically(f.Path(), made, 0600));
    f.Restart();
    const Status restored = f.store->Restore();
    return restored ? std::string("taken") : std::string(restored.error().reason.text);
  };
  std::vector<std::size_t> order(frames.sealed.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  CHECK(with(order) == "taken");
  order.pop_back();
  CHECK(with(order) == ca::kSealBroken.text);  // the end is missing
  order.push_back(order.back() + 1);
  std::swap(order[0], order[1]);
  CHECK(with(order) == ca::kSealBroken.text);
}

TEST_CASE("a cache of another agent is refused") {
  Fixture f;
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  REQUIRE(f.node->SetIdentity(f.MakeIdentity("spiffe://example.org/spire/agent/join_token/other"),
                              f.authority.bundle(), {}));
  f.Restart();
  const Status restored = f.store->Restore();
  REQUIRE_FALSE(restored);
  CHECK(restored.error().reason == kCacheForeign);
  CHECK_FALSE(f.cache->Current()->synced);
}

TEST_CASE("an older cache put back is refused, and the next one written counts on") {
  Fixture f;
  f.Keep(1, {Entry("revoked", "/revoked", {"unix:uid:1"})});
  const Bytes older = f.Content();
  f.Restart();
  REQUIRE(f.store->Restore());
  f.Keep(2, {Entry("a", "/a", {"unix:uid:1"})});
  REQUIRE(WriteFileAtomically(f.Path(), older, 0600));
  f.Restart();
  const Status restored = f.store->Restore();
  REQUIRE_FALSE(restored);
  CHECK(restored.error().reason == kCacheOlder);
  CHECK_FALSE(f.cache->Current()->entries.Find("revoked"));
  f.Keep(3, {Entry("a", "/a", {"unix:uid:1"})});
  f.Restart();
  CHECK(f.store->Restore());
}

TEST_CASE("a cache outlives one renewal of the agent's SVID, for a crash between, and not two") {
  Fixture f;
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  REQUIRE(f.node->RenewIdentity(f.MakeIdentity(kAgent)));
  f.Restart();
  CHECK(f.store->Restore());
  REQUIRE(f.node->RenewIdentity(f.MakeIdentity(kAgent)));
  f.Restart();
  const Status restored = f.store->Restore();
  REQUIRE_FALSE(restored);
  CHECK(restored.error().reason == kCacheOlder);
}

TEST_CASE("a renewal binds the cache anew though nothing served has changed") {
  Fixture f;
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  f.Restart();
  REQUIRE(f.store->Restore());
  f.store->Start();
  for (int i = 0; i < 2; ++i) REQUIRE(f.node->RenewIdentity(f.MakeIdentity(kAgent)));
  f.store->OnAgentSvid();
  f.store->Stop();
  f.Restart();
  CHECK(f.store->Restore());
}

TEST_CASE("SVIDs that ended, and those of authorities no longer trusted, are not served") {
  Fixture f;
  const SigningAuthority next("example.org", f.clock.Now());
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  SECTION("ended") {
    f.clock.Advance(1h);
    f.Restart();
    REQUIRE(f.store->Restore());
    CHECK(f.cache->Current()->synced);
  }
  SECTION("the authority went after the cache was written") {
    auto bundle = next.bundle();
    bundle.sequence_number = 5;
    REQUIRE(f.node->SetBundle(bundle));
    f.Restart();
    REQUIRE(f.store->Restore());
    CHECK(f.cache->Current()->FindBundle(ExampleOrg())->bundle == bundle);
  }
  CHECK(f.cache->Current()->entries.Find("a"));
  CHECK_FALSE(f.cache->Current()->entries.Find("a")->svid);
}

TEST_CASE("while the disk takes nothing serving goes on, health says so, and it heals by itself") {
  Fixture f;
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  const Bytes before = f.Content();
  f.Restart();
  REQUIRE(f.store->Restore());
  f.store->Start();
  const std::string away = f.dir.path() + "-away";
  std::filesystem::rename(f.dir.path(), away);
  REQUIRE(f.cache->Apply(Change(2, {Entry("b", "/b", {"unix:uid:1"})})));
  while (f.store->problem().empty()) std::this_thread::yield();
  CHECK(f.store->problem().find("not kept for a restart") != std::string::npos);
  CHECK(f.cache->Current()->entries.Find("b"));  // served all the same
  std::filesystem::rename(away, f.dir.path());
  CHECK(f.Content() == before);
  while (!f.store->problem().empty()) std::this_thread::yield();
  f.store->Stop();
  f.Restart();
  REQUIRE(f.store->Restore());
  CHECK(f.cache->Current()->entries.Find("b"));
}

TEST_CASE("switched off nothing is written, and what was kept is removed") {
  Fixture f;
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  REQUIRE(std::filesystem::exists(f.Path()));
  f.OpenStore(false);
  REQUIRE(f.store->Restore());
  CHECK_FALSE(f.cache->Current()->synced);
  f.store->Start();
  CHECK_FALSE(std::filesystem::exists(f.Path()));
  REQUIRE(f.cache->Apply(Full(1, {})));
  f.store->Stop();
  CHECK_FALSE(std::filesystem::exists(f.Path()));
}

TEST_CASE("temporary files of a writer that was killed are removed at the next start") {
  Fixture f;
  f.Keep(1, {Entry("a", "/a", {"unix:uid:1"})});
  const std::string left = f.Path() + ".Ab12xY.tmp";
  REQUIRE(WriteFileAtomically(left, AsBytes("cut short"), 0600));
  f.Restart();
  REQUIRE(f.store->Restore());
  CHECK_FALSE(std::filesystem::exists(left));
  CHECK(std::filesystem::exists(f.Path()));
}

TEST_CASE("a stored own bundle is never replaced by an empty one") {
  Fixture f;
  identity::Bundle empty;
  empty.trust_domain = ExampleOrg();
  const Status refused = f.node->SetBundle(empty);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kBundleEmpty);
  f.OpenNode();
  CHECK(*f.node->bundle() == f.authority.bundle());
}

TEST_CASE("records in an order or of a shape that nobody writes are refused") {
  IssuerPool issuers;
  const auto add = [](Bytes* to, char type, const std::vector<Bytes>& fields) {
    to->push_back(static_cast<std::uint8_t>(type));
    for (const Bytes& field : fields) {
      to->insert(to->end(), {0, 0, 0, static_cast<std::uint8_t>(field.size())});
      to->insert(to->end(), field.begin(), field.end());
    }
  };
  const Bytes number(8), digest(32), agent = ToBytes(AsBytes(kAgent));
  Bytes header;
  add(&header, 'H', {number, number, agent, digest, number});
  const auto status = [&](const Bytes& plain) { return CacheDecoder(issuers).AddSegment(plain); };
  REQUIRE(status(header));
  const auto after_header = [&](char type, const std::vector<Bytes>& fields) {
    Bytes plain = header;
    add(&plain, type, fields);
    return status(plain);
  };
  CHECK_FALSE(after_header('H', {number, number, agent, digest, number}));
  CHECK_FALSE(after_header('S', {number, number, number, number, number, {1}, {1}}));
  CHECK_FALSE(after_header('E', {{0xff}}));
  CHECK_FALSE(after_header('?', {}));
  CHECK(after_header('I', {{}, {}}));
  CHECK_FALSE(after_header('I', {{1, 2, 3}, {}}));
  Bytes bundle_first;
  add(&bundle_first, 'B', {{}});
  CHECK_FALSE(status(bundle_first));
  for (std::size_t cut = 1; cut < header.size(); ++cut)
    CHECK_FALSE(status(Bytes(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(cut))));
  CHECK_FALSE(CacheDecoder(issuers).Finish());
}
