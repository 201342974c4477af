#include "identity/server/jwt_issuer.h"

#include <catch2/catch.hpp>
#include <future>

#include "identity/server/issuer.h"
#include "identity/svid/jwt_svid.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/store_values.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

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

class FixedAuthority final : public ActiveJwtAuthority {
 public:
  std::shared_ptr<const ca::JwtAuthority> ActiveJwt() const override { return authority; }
  std::shared_ptr<const ca::JwtAuthority> authority;
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
  JwtIssuer issuer{active, journal, JwtIssuerSettings{.issuer = "https://idp.example"},
                   clock,  random,  metrics};

  Fixture() {
    active.authority = ca::JwtAuthority::Create("kid-1", clock.Now() + hours(24), signer).value();
  }
  JwtIssueRequest Request() const {
    JwtIssueRequest request;
    request.id = SpiffeId::Parse("spiffe://example.org/w").value();
    request.audience = {"", "a"};
    request.entry_id = "entry-1";
    request.entry_revision = 3;
    request.requested_by = "spiffe://example.org/spire/agent/x";
    return request;
  }
  // Waits for the signer's thread.
  Result<IssuedJwt> Issue(const JwtIssueRequest& request) const {
    std::promise<Result<IssuedJwt>> answer;
    issuer.IssueLater(request,
                      [&](Result<IssuedJwt> issued) { answer.set_value(std::move(issued)); });
    return answer.get_future().get();
  }
  JwtSvid Verify(const std::string& token) const {
    const auto domain = TrustDomain::Parse("example.org").value();
    Bundle bundle;
    bundle.trust_domain = domain;
    bundle.jwt_authorities.push_back(
        {.key_id = "kid-1", .public_key = ToBytes(signer->public_key().spki())});
    const auto verified =
        ParseAndVerifyJwtSvid(token, {{domain, bundle}}, "a", clock.Now(), seconds(0));
    REQUIRE(verified);
    return *verified;
  }
  std::vector<AuditRecord> Rows() { return test::LoadIssuances(store, "", 10); }
  bool Counted(const std::string& name, int value) const {
    return metrics.Text().find(name + " " + std::to_string(value) + "\n") != std::string::npos;
  }
};

TEST_CASE("a JWT-SVID says what was asked, and its journal row says who, what and by which key") {
  Fixture f;
  const auto issued = f.Issue(f.Request());
  REQUIRE(issued);
  const auto svid = f.Verify(issued->token);
  CHECK(svid.id.ToString() == "spiffe://example.org/w");
  CHECK(svid.audience == std::vector<std::string>{"a"});
  CHECK(svid.expires_at == f.clock.Now() + seconds(300));
  CHECK(svid.claims_json.find("\"iss\":\"https://idp.example\"") != std::string::npos);
  CHECK(svid.claims_json.find("\"jti\"") == std::string::npos);
  CHECK(issued->issued_at == f.clock.Now());
  CHECK(issued->expires_at == f.clock.Now() + seconds(300));
  REQUIRE(f.Rows().size() == 1);
  const auto row = f.Rows().front();
  CHECK(row.serial.size() == 36);
  CHECK(row.purpose == "jwt");
  CHECK(row.subject == "spiffe://example.org/w");
  CHECK(row.object == "entry-1");
  CHECK(row.revision == 3);
  CHECK(row.actor == "spiffe://example.org/spire/agent/x");
  CHECK(row.authority_id == "kid-1");
  CHECK(row.not_before == UnixSeconds(f.clock.Now()));
  CHECK(row.not_after == UnixSeconds(f.clock.Now()) + 300);
  CHECK(f.Counted("signet_server_jwt_svids_issued_total", 1));
}

TEST_CASE("a token that states its id states the one of its journal row") {
  Fixture f;
  auto request = f.Request();
  request.state_token_id = true;
  const auto svid = f.Verify(f.Issue(request).value().token);
  CHECK(svid.claims_json.find("\"jti\":\"" + f.Rows().front().serial + "\"") != std::string::npos);
}

TEST_CASE("a JWT-SVID that would outlive its authority is cut and counted") {
  Fixture f;
  auto request = f.Request();
  request.ttl = seconds(2147483647);
  CHECK(f.Issue(request).value().expires_at == f.clock.Now() + hours(24));
  CHECK(f.Counted("signet_server_jwt_svids_shortened_total", 1));
  f.clock.Advance(hours(24));
  CHECK(f.Issue(request).error().reason == ca::kJwtAuthorityExpired);
}

TEST_CASE("nothing is signed that the journal did not take, or without audience or authority") {
  Fixture f;
  f.store.FailNextAppend({Code::kUnavailable, kStoreFull, {}});
  CHECK(f.Issue(f.Request()).error().reason == kStoreFull);
  auto request = f.Request();
  request.audience = {""};
  CHECK(f.Issue(request).error().reason == ca::kJwtClaimsRefused);
  f.active.authority = nullptr;
  CHECK(f.Issue(f.Request()).error().reason == kNoActiveAuthority);
  CHECK(f.signer->signatures == 0);
  CHECK(f.Rows().empty());
  CHECK(f.Counted("signet_server_jwt_svids_refused_total", 3));
}

}  // namespace
}  // namespace signet::identity
