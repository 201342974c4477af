#include "identity/server/issuer.h"

#include <catch2/catch.hpp>
#include <future>
#include <latch>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/fake_store.h"
#include "tests/support/store_values.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// Counts signatures, so that a test can see that none was made.
class CountingSigner final : public ca::Signer {
 public:
  const ca::PublicKey& public_key() const override { return key_.public_key(); }
  Result<Bytes> Sign(ca::SignatureAlgorithm algorithm, ByteView message) const override {
    ++signatures;
    return key_.Sign(algorithm, message);
  }
  mutable int signatures = 0;

 private:
  ca::PrivateKey key_ = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
};

class FixedAuthority final : public ActiveAuthority {
 public:
  std::shared_ptr<const ca::X509Authority> Active() const override { return authority; }
  std::shared_ptr<const ca::X509Authority> authority;
};

struct Fixture {
  test::FakeClock clock;
  OsRandom random;
  Metrics metrics;
  test::FakeStore store;
  std::shared_ptr<CountingSigner> signer = std::make_shared<CountingSigner>();
  FixedAuthority active;
  WorkerPool signers{1, QueueLimits::Of(100)};
  Journal journal{store, signers};
  Issuer issuer{active, journal, IssuerSettings{.agent_ttl = seconds(1800)},
                clock,  random,  metrics};
  ca::PrivateKey key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();

  Fixture() {
    const ca::RootProfile root{.uri_san = "spiffe://example.org",
                               .subject = {},
                               .not_before = clock.Now(),
                               .not_after = clock.Now() + hours(24)};
    active.authority =
        ca::X509Authority::CreateRoot(root, signer, random, [](const ca::IssuanceIntent&) {
          return Status();
        }).value();
    signer->signatures = 0;
  }

  IssueRequest Request(const std::string& id = "spiffe://example.org/w") const {
    IssueRequest request;
    request.public_key = key.public_key();
    request.id = SpiffeId::Parse(id).value();
    request.entry_id = "entry-1";
    request.entry_revision = 3;
    request.requested_by = "spiffe://example.org/spire/agent/x";
    return request;
  }

  bool Counted(const std::string& name, int value) const {
    return metrics.Text().find(name + " " + std::to_string(value) + "\n") != std::string::npos;
  }
};

}  // namespace

TEST_CASE("an SVID is issued as asked, and its journal row says who, what and by which authority") {
  Fixture f;
  IssueRequest request = f.Request();
  request.dns_names = {"a.example"};
  const auto svid = f.issuer.IssueOne(request);
  REQUIRE(svid);
  CHECK(svid->leaf.uri_sans() == std::vector<std::string>{"spiffe://example.org/w"});
  CHECK(svid->leaf.dns_sans() == request.dns_names);
  CHECK(svid->leaf.public_key() == f.key.public_key());
  CHECK(svid->leaf.not_before() == f.clock.Now() - seconds(10));
  CHECK(svid->leaf.not_after() == f.clock.Now() + seconds(3600));
  REQUIRE(svid->chain.size() == 1);
  CHECK(svid->chain[0] == svid->leaf);
  const auto rows = test::LoadIssuances(f.store, svid->leaf.SerialHex(), 10);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].subject == "spiffe://example.org/w");
  CHECK(rows[0].purpose == "workload");
  CHECK(rows[0].object == "entry-1");
  CHECK(rows[0].revision == 3);
  CHECK(rows[0].actor == "spiffe://example.org/spire/agent/x");
  CHECK(rows[0].authority_id == f.active.authority->id());
  CHECK(rows[0].not_before == UnixSeconds(svid->leaf.not_before()));
  CHECK(rows[0].not_after == UnixSeconds(svid->leaf.not_after()));
  CHECK(rows[0].recorded_at == UnixSeconds(f.clock.Now()));
  CHECK(f.Counted("signet_server_svids_issued_total", 1));
  CHECK(f.Counted("signet_server_svids_shortened_total", 0));
}

TEST_CASE("the lifetime is the one asked for, or the default of the purpose") {
  Fixture f;
  const auto life = [&](ca::Purpose purpose, seconds ttl) {
    IssueRequest request = f.Request();
    request.purpose = purpose;
    request.ttl = ttl;
    return f.issuer.IssueOne(request).value().leaf.not_after() - f.clock.Now();
  };
  CHECK(life(ca::Purpose::kWorkload, seconds(0)) == seconds(3600));
  CHECK(life(ca::Purpose::kServer, seconds(0)) == seconds(3600));
  CHECK(life(ca::Purpose::kAgent, seconds(0)) == seconds(1800));
  CHECK(life(ca::Purpose::kAgent, seconds(60)) == seconds(60));
}

TEST_CASE("an SVID that would outlive its authority is cut and counted") {
  Fixture f;
  IssueRequest request = f.Request();
  request.ttl = seconds(2147483647);
  const auto svid = f.issuer.IssueOne(request);
  REQUIRE(svid);
  CHECK(svid->leaf.not_after() == f.active.authority->certificate().not_after());
  CHECK(f.Counted("signet_server_svids_shortened_total", 1));
  f.clock.Advance(hours(23) + minutes(30));
  CHECK(f.issuer.IssueOne(f.Request())->leaf.not_after() == f.clock.Now() + minutes(30));
  CHECK(f.Counted("signet_server_svids_shortened_total", 2));
}

TEST_CASE("a key of a type that the settings do not allow is not certified, for whomever it is") {
  Fixture f;
  const Issuer strict(f.active, f.journal, {.csr_key_types = {"ec-p384", "rsa-4096"}}, f.clock,
                      f.random, f.metrics);
  IssueRequest request = f.Request();  // P-256
  for (const auto purpose : {ca::Purpose::kWorkload, ca::Purpose::kAgent}) {
    request.purpose = purpose;
    const auto refused = strict.IssueOne(request);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Code::kInvalidArgument);
    CHECK(refused.error().reason == ca::kKeyTypeRefused);
    CHECK(refused.error().detail == "ec-p256 is not one of ec-p384 rsa-4096");
  }
  request.id = SpiffeId::Parse("spiffe://example.org").value();
  CHECK(strict.IssueDownstream(request).error().reason == ca::kKeyTypeRefused);
  CHECK(f.store.appends() == 0);
  CHECK(f.signer->signatures == 0);
  request = f.Request();
  request.public_key = ca::PrivateKey::Generate(ca::KeyType::kRsa2048).value().public_key();
  CHECK(strict.IssueOne(request).error().reason == ca::kKeyTypeRefused);
  request.public_key = ca::PrivateKey::Generate(ca::KeyType::kEcP384).value().public_key();
  CHECK(strict.IssueOne(request));
  // Its own keys are the server's business.
  request = f.Request("spiffe://example.org/spire/server");
  request.purpose = ca::Purpose::kServer;
  CHECK(strict.IssueOne(request));
}

TEST_CASE("a batch takes one journal write, and each element stands or falls alone") {
  Fixture f;
  std::vector<IssueRequest> requests = {f.Request(), f.Request("spiffe://example.org"),
                                        f.Request()};
  requests.push_back(f.Request());
  requests.back().public_key = ca::PublicKey();
  requests.back().id = SpiffeId::Parse("spiffe://example.org/x").value();
  const auto issued = f.issuer.Issue(requests);
  REQUIRE(issued.size() == 4);
  CHECK(issued[0]);
  CHECK(issued[1].error().reason == ca::kProfileRefused);
  CHECK(issued[2]);
  CHECK(issued[3].error().reason == ca::kKeyTypeRefused);
  CHECK_FALSE(Equal(issued[0]->leaf.serial(), issued[2]->leaf.serial()));
  CHECK(f.store.appends() == 1);
  CHECK(f.signer->signatures == 2);
  CHECK(f.Counted("signet_server_svids_issued_total", 2));
  CHECK(f.Counted("signet_server_svids_refused_total", 2));
  CHECK(f.issuer.Issue({}).empty());
  CHECK(f.store.appends() == 1);
}

TEST_CASE("nothing is signed when the journal fails, and every element says so") {
  Fixture f;
  f.store.FailNextAppend({Code::kUnavailable, kStoreFull, "disk full"});
  const std::vector<IssueRequest> requests = {f.Request(), f.Request("spiffe://example.org"),
                                              f.Request()};
  for (const auto& one : f.issuer.Issue(requests)) {
    REQUIRE_FALSE(one);
    CHECK(one.error().reason == kStoreFull);
  }
  CHECK(f.signer->signatures == 0);
  CHECK(f.issuer.IssueOne(f.Request()));
}

TEST_CASE("what is issued later is signed by a signer's thread, and only once it is recorded") {
  Fixture f;
  std::latch busy(1), go(1);
  REQUIRE(f.signers.Submit({.account = "other", .run = [&] {
                              busy.count_down();
                              go.wait();
                            }}));
  busy.wait();
  std::promise<std::vector<Result<IssuedSvid>>> answer;
  const std::vector<IssueRequest> requests = {f.Request(), f.Request("spiffe://example.org")};
  f.issuer.IssueLater(requests, [&](std::vector<Result<IssuedSvid>> issued) {
    answer.set_value(std::move(issued));
  });
  CHECK(f.store.appends() == 1);
  CHECK(f.signer->signatures == 0);
  go.count_down();
  const auto issued = answer.get_future().get();
  REQUIRE(issued.size() == 2);
  CHECK(test::LoadIssuances(f.store, issued[0].value().leaf.SerialHex(), 10).size() == 1);
  CHECK(issued[1].error().reason == ca::kProfileRefused);
  CHECK(f.signer->signatures == 1);
}

TEST_CASE("what was to be issued later is not signed when the journal or the signers refuse") {
  Fixture f;
  const auto issue = [&] {
    std::promise<Error> answer;
    const auto request = f.Request();
    f.issuer.IssueLater({&request, 1}, [&](const std::vector<Result<IssuedSvid>>& issued) {
      answer.set_value(issued.at(0).error());
    });
    return answer.get_future().get();
  };
  f.store.FailNextAppend({Code::kUnavailable, kStoreFull, "disk full"});
  CHECK(issue().reason == kStoreFull);
  std::latch busy(1), go(1);
  REQUIRE(f.signers.Submit({.account = "other", .run = [&] {
                              busy.count_down();
                              go.wait();
                            }}));
  busy.wait();
  while (f.signers.Submit({.account = "other", .run = [] {}})) {
  }
  CHECK(issue().reason == kServerBusy);
  CHECK(f.signer->signatures == 0);
  go.count_down();
}

TEST_CASE("nothing is recorded or signed without an authority, or after its end") {
  Fixture f;
  f.clock.Advance(hours(24));
  CHECK(f.issuer.IssueOne(f.Request()).error().reason == ca::kAuthorityExpired);
  f.active.authority = nullptr;
  CHECK(f.issuer.IssueOne(f.Request()).error().reason == kNoActiveAuthority);
  CHECK(f.store.appends() == 0);
  CHECK(f.signer->signatures == 0);
}

TEST_CASE("an authority below ours is recorded before it is signed, and not signed otherwise") {
  Fixture f;
  IssueRequest request = f.Request("spiffe://example.org");
  const auto issued = f.issuer.IssueDownstream(request);
  REQUIRE(issued);
  REQUIRE(issued->chain.size() == 1);
  CHECK(issued->leaf.is_ca());
  CHECK(issued->leaf.not_after() == f.active.authority->certificate().not_after());
  const auto rows = test::LoadIssuances(f.store, issued->leaf.SerialHex(), 10);
  REQUIRE(rows.size() == 1);
  CHECK(rows.front().purpose == "downstream");
  CHECK(rows.front().object == "entry-1");
  CHECK(rows.front().actor == "spiffe://example.org/spire/agent/x");
  request.ttl = minutes(10);
  CHECK(f.issuer.IssueDownstream(request)->leaf.not_after() == f.clock.Now() + minutes(10));

  f.signer->signatures = 0;
  f.store.FailNextAppend({Code::kResourceExhausted, kStoreFull, {}});
  CHECK(f.issuer.IssueDownstream(request).error().reason == kStoreFull);
  CHECK(f.signer->signatures == 0);
  f.active.authority = nullptr;
  CHECK(f.issuer.IssueDownstream(request).error().reason == kNoActiveAuthority);
}

}  // namespace signet::identity
