#include "agent/cache/minter.h"

#include <catch2/catch.hpp>
#include <semaphore>
#include <thread>

#include "tests/support/fake_clock.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using namespace std::chrono_literals;
using signet::test::FakeClock;
using signet::test::SigningAuthority;
using Lane = Minter::Lane;

namespace {

// A server that does as it is told.
class FakeIssuer final : public SvidIssuer {
 public:
  FakeIssuer(const SigningAuthority& authority, const Clock& clock)
      : authority_(authority), clock_(clock) {}

  bool IsReachable() const override { return reachable; }
  IssueAnswer Issue(const std::vector<MintRequest>& requests) override {
    ++calls;
    renewals.push_back(std::ranges::count(requests, true, &MintRequest::renewal));
    if (requests.size() > 1 && hold_batches) {
      batch_arrived.release();
      let_batch_go.acquire();
    }
    if (retry_after) return {Fail(Code::kResourceExhausted, Reason{"busy"}), retry_after};
    std::vector<Result<ca::Chain>> chains;
    for (const MintRequest& request : requests)
      chains.push_back(authority_.CertifyRequest(request.request,
                                                 "spiffe://example.org/" + request.entry_id,
                                                 clock_.Now(), clock_.Now() + 1h));
    return {std::move(chains), std::nullopt};
  }

  std::atomic<bool> reachable{true};
  std::atomic<int> calls{0};
  std::vector<std::ptrdiff_t> renewals;  // of each call; read when no minter runs
  std::optional<Duration> retry_after;
  bool hold_batches = false;
  std::binary_semaphore batch_arrived{0}, let_batch_go{0};

 private:
  const SigningAuthority& authority_;
  const Clock& clock_;
};

struct Fixture {
  void Hold(const std::vector<std::string>& ids) {
    std::vector<AuthorizedEntry> entries;
    for (const std::string& id : ids) entries.push_back(Entry(id, "/" + id, {"unix:uid:1"}));
    REQUIRE(cache.Apply(Full(++revision, std::move(entries), {authority.bundle()})));
  }
  SvidPtr SvidOf(const std::string& id) const { return cache.Current()->entries.Find(id)->svid; }

  FakeClock clock;
  OsRandom random;
  const Logger log = Logger::Null();
  Metrics metrics;
  SigningAuthority authority{"example.org", clock.Now()};
  FakeIssuer issuer{authority, clock};
  Cache cache{ExampleOrg()};
  Interest interest;
  Minter minter{{cache, issuer, interest, clock, random, log, metrics}};
  std::uint64_t revision = 0;
};

}  // namespace

TEST_CASE("who waits is served while a batch for the others is in the server's hands") {
  Fixture f;
  f.Hold({"a", "b"});
  f.issuer.hold_batches = true;
  std::thread others([&] { f.minter.RunOnce(Lane::kAny); });
  f.issuer.batch_arrived.acquire();
  f.Hold({"a", "b", "mine"});
  f.minter.Want({"mine"});  // at once, though no round has learned of it
  f.minter.RunOnce(Lane::kWaiting);
  CHECK(f.SvidOf("mine"));
  CHECK_FALSE(f.SvidOf("a"));
  f.issuer.let_batch_go.release();
  others.join();
  CHECK(f.SvidOf("a"));
}

TEST_CASE("the pause the server asks for is kept by all lanes, and ends before it is doubled") {
  Fixture f;
  f.Hold({"a"});
  f.minter.Want({"a"});
  f.issuer.retry_after = 4s;
  CHECK(f.minter.RunOnce(Lane::kWaiting) >= 4s);
  CHECK(f.issuer.calls == 1);
  f.clock.Advance(3s);  // longer than any backoff after one failure
  CHECK(f.minter.RunOnce(Lane::kAny) >= 1s);
  CHECK(f.minter.RunOnce(Lane::kWaiting) >= 1s);
  CHECK(f.issuer.calls == 1);
  f.issuer.retry_after = std::nullopt;
  f.clock.Advance(5s);
  f.minter.RunOnce(Lane::kWaiting);
  CHECK(f.SvidOf("a"));
}

TEST_CASE("agents that were asked for the same pause come back spread over as much again") {
  std::set<Duration> pauses;
  OsRandom random;
  for (int i = 0; i < 200; ++i) {
    const Duration pause = DrawPause(1s, random);
    CHECK(pause >= 1s);
    CHECK(pause < 2s);
    pauses.insert(pause / 100ms * 100ms);
  }
  CHECK(pauses.size() == 10);
  CHECK(DrawPause(Duration::zero(), random) == Duration::zero());
}

TEST_CASE("a call that renews what is held says so, one for what is new does not") {
  Fixture f;
  f.Hold({"a"});
  f.minter.RunOnce(Lane::kAny);
  f.Hold({"a", "b"});
  f.minter.RunOnce(Lane::kAny);
  f.clock.Advance(40min);
  f.minter.RunOnce(Lane::kAny);
  CHECK(f.issuer.renewals == std::vector<std::ptrdiff_t>{0, 0, 2});
}

TEST_CASE("while the server is away nothing is asked, and all goes at once when it is back") {
  Fixture f;
  f.Hold({"a"});
  f.issuer.reachable = false;
  for (int i = 0; i < 5; ++i) CHECK(f.minter.RunOnce(Lane::kAny) == 5s);
  CHECK(f.issuer.calls == 0);
  f.issuer.reachable = true;
  f.minter.OnConnected();
  f.minter.RunOnce(Lane::kAny);
  CHECK(f.SvidOf("a"));
}

TEST_CASE("an SVID is served to its end while its renewal fails, and not a second longer") {
  Fixture f;
  f.Hold({"a"});
  f.minter.RunOnce(Lane::kAny);
  const SvidPtr first = f.SvidOf("a");
  REQUIRE(first);
  f.issuer.retry_after = 1ms;
  f.clock.Advance(40min);
  f.minter.RunOnce(Lane::kAny);
  CHECK(f.issuer.calls == 2);
  CHECK(f.SvidOf("a") == first);
  f.clock.Advance(20min);
  f.minter.RunOnce(Lane::kAny);
  CHECK_FALSE(f.SvidOf("a"));
}

TEST_CASE("SVIDs minted together share what stands above them") {
  Fixture f;
  f.Hold({"a", "b"});
  f.minter.RunOnce(Lane::kAny);
  CHECK(f.SvidOf("a")->issuers == f.SvidOf("b")->issuers);
  CHECK(f.SvidOf("a")->issuers->authority_key_id == f.authority.root().subject_key_id());
}
