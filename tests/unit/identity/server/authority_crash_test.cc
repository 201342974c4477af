// The keeper killed before each of its writes in turn, over a life of two generations.
#include <algorithm>
#include <catch2/catch.hpp>

#include "ca/x509/path.h"
#include "identity/server/authority_keeper.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace signet::identity {
namespace {

using ca::AuthorityState;
using std::chrono::hours;

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

// Lets so many writes through; from then on all fail, as when the process is gone.
struct Power {
  int writes_left = 1 << 30;
  bool cut = false;
  Status Take() {
    if (writes_left-- > 0 && !cut) return {};
    cut = true;
    return Fail(Code::kUnavailable, kStoreUnavailable, "cut");
  }
};

class CutStore final : public Store {
 public:
  CutStore(Store& store, Power& power) : store_(store), power_(power) {}
  Result<Revision> Commit(const std::function<Status(Transaction&)>& work) override {
    SIGNET_RETURN_IF_ERROR(power_.Take());
    return store_.Commit(work);
  }
  Status AppendRecords(const std::vector<AuditRecord>& records) override {
    SIGNET_RETURN_IF_ERROR(power_.Take());
    return store_.AppendRecords(records);
  }
  void SubmitRecords(std::vector<AuditRecord> records, std::function<void(Status)> told) override {
    told(AppendRecords(records));
  }
  Result<Revision> LoadRevision() override { return store_.LoadRevision(); }
  Result<std::vector<Entry>> LoadEntries() override { return store_.LoadEntries(); }
  Result<std::vector<Node>> LoadNodes() override { return store_.LoadNodes(); }
  Result<std::vector<Bundle>> LoadBundles() override { return store_.LoadBundles(); }
  Result<std::vector<AuthorityRecord>> LoadAuthorities() override {
    return store_.LoadAuthorities();
  }
  Result<std::vector<FederationRelationship>> LoadRelationships() override {
    return store_.LoadRelationships();
  }
  Result<std::vector<Denial>> LoadDenials() override { return store_.LoadDenials(); }
  Result<std::vector<LiveSerial>> LoadLiveSerials(const std::string& requested_by, std::int64_t now,
                                                  std::size_t limit) override {
    return store_.LoadLiveSerials(requested_by, now, limit);
  }
  Result<std::vector<LoggedRecord>> LoadLog(const LogFilter& filter) override {
    return store_.LoadLog(filter);
  }
  Result<std::vector<CurrentSvid>> LoadCurrentSvids(std::int64_t now) override {
    return store_.LoadCurrentSvids(now);
  }
  Result<LogHead> LoadLogHead() override { return store_.LoadLogHead(); }
  Result<LogHead> LoadLogBase() override { return store_.LoadLogBase(); }
  Status PruneLog(std::uint64_t seq) override { return store_.PruneLog(seq); }
  Status PutCheckpoint(const LogCheckpoint& checkpoint) override {
    return store_.PutCheckpoint(checkpoint);
  }
  Result<std::vector<LogCheckpoint>> LoadCheckpoints(std::size_t limit) override {
    return store_.LoadCheckpoints(limit);
  }

 private:
  Store& store_;
  Power& power_;
};

class CutKeyStore final : public ca::KeyStore {
 public:
  CutKeyStore(ca::KeyStore& keys, Power& power) : keys_(keys), power_(power) {}
  Result<std::shared_ptr<const ca::Signer>> Generate(const std::string& name,
                                                     ca::KeyType type) override {
    SIGNET_RETURN_IF_ERROR(power_.Take());
    return keys_.Generate(name, type);
  }
  Result<std::shared_ptr<const ca::Signer>> Find(const std::string& name) override {
    return keys_.Find(name);
  }
  Status Remove(const std::string& name) override {
    SIGNET_RETURN_IF_ERROR(power_.Take());
    return keys_.Remove(name);
  }
  std::vector<std::string> Names() override { return keys_.Names(); }

 private:
  ca::KeyStore& keys_;
  Power& power_;
};

// One life of the process over durable state.
struct Process {
  Power power;
  CutStore store;
  CutKeyStore keys;
  Metrics metrics;
  Logger log = Logger::Null();
  std::unique_ptr<Registry> registry;
  std::unique_ptr<AuthorityKeeper> keeper;

  Process(Store& durable_store, ca::KeyStore& durable_keys, int writes)
      : power{.writes_left = writes}, store(durable_store, power), keys(durable_keys, power) {}

  Status Start(const Clock& clock, Random& random) {
    SIGNET_TRY(registry, Registry::Load(store, kTrustDomain, clock, random));
    SIGNET_TRY(keeper,
               AuthorityKeeper::Start(store, *registry, keys, {}, clock, random, log, metrics));
    return {};
  }

  // What signs in memory is in the bundle on disk.
  void CheckActiveIsDurable(Store& durable) const {
    const auto active = keeper->Active();
    REQUIRE(active != nullptr);
    const auto bundles = durable.LoadBundles().value();
    REQUIRE(bundles.size() == 1);
    const auto roots = bundles[0].X509Roots();
    CHECK(std::find(roots.begin(), roots.end(), active->certificate()) != roots.end());
  }

  void CheckSound(const Clock& clock, Random& random) const {
    const auto active = keeper->Active();
    REQUIRE(active != nullptr);
    const auto roots = registry->OwnBundle()->X509Roots();
    const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
    const ca::LeafProfile profile{.uri_san = "spiffe://example.org/w",
                                  .dns_sans = {},
                                  .subject = {},
                                  .not_before = clock.Now(),
                                  .not_after = clock.Now() + hours(1)};
    const auto prepared = active->Prepare(key.public_key(), profile, random, clock.Now());
    REQUIRE(prepared);
    const auto leaf = active->Sign(*prepared);
    REQUIRE(leaf);
    CHECK(ca::BuildPath({&*leaf, 1}, roots, clock.Now()));
    int active_x509 = 0, active_jwt = 0;
    for (const auto& status : keeper->Slots()) {
      if (status.slot.state != AuthorityState::kActive) continue;
      ++(status.type == "x509" ? active_x509 : active_jwt);
    }
    CHECK(active_x509 == 1);
    CHECK(active_jwt == 1);
  }
};

constexpr hours kMoments[] = {hours(0), hours(13), hours(21), hours(50)};

}  // namespace

TEST_CASE("a keeper cut off before any of its writes is sound again after the next start") {
  int cuts = 0;
  for (int writes = 0; writes < 200; ++writes) {
    INFO("cut after " << writes << " writes");
    OsRandom random;
    test::FakeClock clock;
    const WallTime start = clock.Now();
    test::FakeStore store;
    ca::MemoryKeyStore keys;
    auto process = std::make_unique<Process>(store, keys, writes);
    bool running = process->Start(clock, random).has_value();
    bool was_cut = false;
    for (const hours moment : kMoments) {
      clock.SetWall(start + moment);
      if (running && !process->power.cut) (void)process->keeper->Tick();
      if (!running || process->power.cut) {
        was_cut = true;
        if (running) process->CheckActiveIsDurable(store);
        process = std::make_unique<Process>(store, keys, 1 << 30);
        running = process->Start(clock, random).has_value();
        REQUIRE(running);
      }
      process->CheckSound(clock, random);
      REQUIRE(process->keeper->Tick());
      process->CheckSound(clock, random);
    }
    // Whatever was cut, the end is the same: what ended a day ago is gone, and no key lies about
    // unused.
    CHECK(process->registry->OwnBundle()->x509_authorities.size() <= 3);
    CHECK(keys.Names().size() <= 4);
    for (const std::string& name : keys.Names()) CHECK(keys.Find(name));
    if (!was_cut) break;
    ++cuts;
  }
  CHECK(cuts >= 15);
}

}  // namespace signet::identity
