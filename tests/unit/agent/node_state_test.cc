#include "agent/attest/node_state.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>

#include "agent/attest/join_token_attestor.h"
#include "agent/attest/node_keeper.h"
#include "agent/attest/trust.h"
#include "base/file.h"
#include "ca/x509/request.h"
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

constexpr const char* kAgentUri = "spiffe://example.org/spire/agent/join_token/x";

// A server that attests and renews as tests tell it.
class FakeNodeAuthority final : public NodeAuthority {
 public:
  FakeNodeAuthority(const SigningAuthority& authority, const Clock& clock)
      : authority_(&authority), clock_(clock) {}

  Result<identity::Bundle> FetchBundle(const identity::Bundle& trust) override {
    if (away > 0) {
      --away;
      return Fail(Code::kUnavailable, Reason{"away"});
    }
    trusted = trust;
    return authority_->bundle();
  }
  Result<identity::Bundle> FetchUnverifiedBundle() override { return authority_->bundle(); }
  Result<ca::Chain> Attest(const identity::Bundle&, std::string_view, NodeProof& proof,
                           const Bytes& request) override {
    ++attestations;
    if (proof.payload() != "good")
      return Fail(Code::kInvalidArgument, kAttestationRefused, "join token expired");
    return Certify(request);
  }
  Result<ca::Chain> Renew(const Bytes& request) override {
    if (must_reattest) return Fail(Code::kPermissionDenied, kAgentMustReattest);
    if (away > 0) {
      --away;
      return Fail(Code::kUnavailable, Reason{"away"});
    }
    auto chain = Certify(request);
    if (chain)
      issued = chain->front().SerialHex();  // what was issued before and never shown is void
    if (lose_answer) return Fail(Code::kUnavailable, Reason{"cut off"});
    return chain;
  }
  Duration TakePauseAsked() override { return std::exchange(pause_asked, {}); }
  // Whether the server lets in who shows this SVID: the one in use, or the one issued last, which
  // then is the one in use.
  bool LetsIn(const NodeIdentity& shown) {
    const std::string serial = shown.chain.front().SerialHex();
    if (serial == issued) active = serial;
    return serial == active;
  }

  // From now on.
  void SignWith(const SigningAuthority& authority) { authority_ = &authority; }

  std::string uri = kAgentUri;
  bool other_key = false;
  bool lose_answer = false;
  std::string active, issued;  // serial numbers
  bool must_reattest = false;
  int away = 0;
  int attestations = 0;
  Duration pause_asked{};
  identity::Bundle trusted;

 private:
  Result<ca::Chain> Certify(const Bytes& request) {
    if (other_key) {
      const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
      return authority_->Certify(key->public_key(), uri, clock_.Now(), clock_.Now() + 1h,
                                 ca::Purpose::kAgent);
    }
    return authority_->CertifyRequest(request, uri, clock_.Now(), clock_.Now() + 1h,
                                      ca::Purpose::kAgent);
  }
  const SigningAuthority* authority_;
  const Clock& clock_;
};

struct Fixture {
  Fixture() { Open(); }
  void Open() {
    keeper.reset();
    auto kek = LoadOrCreateKek(dir.File("kek"));
    REQUIRE(kek);
    auto opened = NodeState::Open(SealedFile(dir.File("node.sealed"), *kek, "node"), ExampleOrg());
    REQUIRE(opened);
    state = std::move(*opened);
  }
  NodeKeeper& Keep(JoinTokenOptions options) {
    return KeepWith(std::make_unique<JoinTokenAttestor>(std::move(options), *state, log));
  }
  NodeKeeper& KeepWith(std::unique_ptr<NodeAttestor> with) {
    keeper.reset();
    attestor = std::move(with);
    keeper = std::make_unique<NodeKeeper>(NodeParts{*state, server, *attestor},
                                          AttestOptions{ExampleOrg(), {}, pin}, clock, random, log,
                                          metrics);
    return *keeper;
  }
  static JoinTokenOptions WithToken(const std::string& token) {
    return {std::make_shared<const SecretBytes>(AsBytes(token)), {}};
  }

  TempDir dir;
  FakeClock clock;
  OsRandom random;
  const Logger log = Logger::Null();
  Metrics metrics;
  SigningAuthority authority{"example.org", clock.Now()};
  FakeNodeAuthority server{authority, clock};
  ca::Sha256Digest pin = authority.root().fingerprint();
  std::unique_ptr<NodeState> state;
  std::unique_ptr<NodeAttestor> attestor;
  std::unique_ptr<NodeKeeper> keeper;
};

// A proof that can be shown again and again.
class RepeatableAttestor final : public NodeAttestor {
 public:
  class Proof final : public NodeProof {
   public:
    std::string_view payload() const override { return "good"; }
    Result<std::string> Respond(std::string_view) override { return std::string(); }
  };
  std::string_view type() const override { return "repeatable"; }
  bool can_repeat() const override { return true; }
  Result<std::unique_ptr<NodeProof>> Begin() override { return std::make_unique<Proof>(); }
};

}  // namespace

TEST_CASE("a node attests by token, and a restart knows it without one") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestUntilDone());
  const auto before = f.state->identity();
  REQUIRE(before);
  CHECK(before->id.ToString() == kAgentUri);
  f.Open();
  const auto after = f.state->identity();
  REQUIRE(after);
  CHECK(after->chain == before->chain);
  CHECK(Equal(after->key->ToPkcs8().view(), before->key->ToPkcs8().view()));
  CHECK(*f.state->bundle() == f.authority.bundle());
}

TEST_CASE("a refused token ends the attempts; a server that is away does not") {
  Fixture f;
  f.server.away = 2;
  const Status refused = f.Keep(f.WithToken("expired")).AttestUntilDone();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kAttestationRefused);
  CHECK(f.server.attestations == 1);
  CHECK_FALSE(f.state->identity());
}

TEST_CASE("without a token the error says how to get one") {
  Fixture f;
  const Status none = f.Keep(JoinTokenOptions()).AttestUntilDone();
  REQUIRE_FALSE(none);
  CHECK(none.error().reason == kNoProof);
  CHECK(none.error().detail.find("signet token create") != std::string::npos);
}

TEST_CASE("a token this node used up is not shown to the server again; a new file is read") {
  Fixture f;
  const std::string path = f.dir.File("token");
  REQUIRE(WriteFileAtomically(path, AsBytes("good\n"), 0600));
  NodeKeeper& keeper = f.Keep(JoinTokenOptions{nullptr, path});
  REQUIRE(keeper.AttestOnce());
  const Status again = keeper.AttestOnce();
  REQUIRE_FALSE(again);
  CHECK(again.error().reason == kNoProof);
  CHECK(f.server.attestations == 1);
  REQUIRE(WriteFileAtomically(path, AsBytes("wrong\n"), 0600));
  CHECK(keeper.AttestOnce().error().reason == kAttestationRefused);
}

TEST_CASE("the pin decides which authority is trusted, whatever the server shows") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  REQUIRE(f.server.trusted.x509_authorities.size() == 1);
  CHECK(f.server.trusted.x509_authorities[0].certificate == f.authority.root());

  f.pin = ca::Sha256(AsBytes("another"));
  const Status refused = f.Keep(f.WithToken("other")).AttestOnce();
  REQUIRE_FALSE(refused);
  CHECK(f.server.attestations == 1);
}

TEST_CASE("an agent SVID that is not what was asked for is refused") {
  Fixture f;
  SECTION("another key") { f.server.other_key = true; }
  SECTION("a workload's ID") { f.server.uri = "spiffe://example.org/web"; }
  const Status refused = f.Keep(f.WithToken("good")).AttestOnce();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kNodeSvidWrong);
  CHECK_FALSE(f.state->identity());
}

TEST_CASE("a renewal brings a new key, is stored, and keeps the agent's ID") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  const auto before = f.state->identity();
  REQUIRE(f.keeper->RenewOnce());
  const auto after = f.state->identity();
  CHECK_FALSE(after->key->public_key() == before->key->public_key());
  f.Keep(f.WithToken("good"));
  f.Open();
  CHECK(f.state->identity()->chain == after->chain);

  f.Keep(f.WithToken("good"));
  f.server.uri = "spiffe://example.org/spire/agent/join_token/other";
  CHECK(f.keeper->RenewOnce().error().reason == kNodeSvidWrong);
  CHECK(f.state->identity()->chain == after->chain);
}

TEST_CASE("an agent SVID whose authority is tainted, or gone, is renewed before it is due") {
  const bool is_gone = GENERATE(false, true);
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  const SigningAuthority next("example.org", f.clock.Now());
  identity::Bundle bundle = next.bundle();
  if (!is_gone) bundle.x509_authorities.push_back({f.authority.root(), true});
  REQUIRE(f.state->SetBundle(bundle));
  f.server.SignWith(next);
  std::promise<void> renewed;
  std::atomic<int> times = 0;
  f.keeper->Start([&] {
    if (times++ == 0) renewed.set_value();
  });
  REQUIRE(renewed.get_future().wait_for(20s) == std::future_status::ready);
  CHECK(f.state->identity()->chain.back().authority_key_id() == next.root().subject_key_id());
  f.keeper->Stop();
  CHECK(times == 1);
}

// F14: at each point of a renewal the agent is killed and starts from what is on disk.
TEST_CASE("wherever a renewal is cut off, the agent comes back with an SVID the server lets in") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  const auto first = f.state->identity();
  f.server.active = first->chain.front().SerialHex();
  const std::string moved = f.dir.path() + "-away";
  SECTION("before the server was asked") {
    f.server.away = 1;
    CHECK_FALSE(f.keeper->RenewOnce());
  }
  SECTION("the server issued it, the answer was lost") {
    f.server.lose_answer = true;
    CHECK_FALSE(f.keeper->RenewOnce());
    CHECK_FALSE(f.keeper->RenewOnce());  // twice: the first one issued is void by then
    f.server.lose_answer = false;
  }
  SECTION("received, and not stored") {
    std::filesystem::rename(f.dir.path(), moved);
    CHECK_FALSE(f.keeper->RenewOnce());
    std::filesystem::rename(moved, f.dir.path());
  }
  SECTION("received, and killed while it was written") {
    f.server.lose_answer = true;
    CHECK_FALSE(f.keeper->RenewOnce());
    f.server.lose_answer = false;
    REQUIRE(WriteFileAtomically(f.dir.File("node.sealed.a1B2c3.tmp"), AsBytes("half"), 0600));
  }
  SECTION("stored, and never shown") { CHECK(f.keeper->RenewOnce()); }
  SECTION("stored and shown") {
    CHECK(f.keeper->RenewOnce());
    CHECK(f.server.LetsIn(*f.state->identity()));
  }
  f.Open();
  REQUIRE(f.state->identity());
  CHECK(f.server.LetsIn(*f.state->identity()));
  CHECK_FALSE(std::filesystem::exists(f.dir.File("node.sealed.a1B2c3.tmp")));
  // And renews from there on, again and again.
  f.Keep(JoinTokenOptions());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(f.keeper->RenewOnce());
    CHECK(f.server.LetsIn(*f.state->identity()));
  }
}

TEST_CASE("a node that the server wants to attest again does so, when its proof can be repeated") {
  Fixture f;
  REQUIRE(f.KeepWith(std::make_unique<RepeatableAttestor>()).AttestOnce());
  const auto before = f.state->identity();
  f.server.must_reattest = true;
  REQUIRE(f.keeper->RenewOnce());
  CHECK(f.server.attestations == 2);
  CHECK_FALSE(f.state->identity()->chain == before->chain);

  const auto kept = f.state->identity();
  const Status refused = f.Keep(f.WithToken("good")).RenewOnce();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kAgentMustReattest);
  CHECK(f.server.attestations == 2);
  CHECK(f.state->identity() == kept);
}

TEST_CASE(
    "after a refusal the node stays away as long as it was asked to, and up to as long again") {
  Fixture f;
  NodeKeeper& keeper = f.Keep(f.WithToken("good"));
  for (int i = 0; i < 50; ++i) {
    f.server.pause_asked = 40s;
    const Duration asked = keeper.PauseAfter(0);
    CHECK(asked >= 40s);
    CHECK(asked < 80s);
    CHECK(keeper.PauseAfter(0) < 250ms);  // told once
  }
}

TEST_CASE("a renewal that cannot be stored leaves the old identity in use") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  const auto before = f.state->identity();
  std::filesystem::rename(f.dir.path(), f.dir.path() + "-away");
  CHECK_FALSE(f.keeper->RenewOnce());
  CHECK(f.state->identity() == before);
  std::filesystem::rename(f.dir.path() + "-away", f.dir.path());
}

TEST_CASE("no token is spent while its result could not be stored") {
  Fixture f;
  f.Keep(f.WithToken("good"));
  std::filesystem::rename(f.dir.path(), f.dir.path() + "-away");
  CHECK(f.keeper->AttestOnce().error().reason == kFileWriteFailed);
  CHECK(f.server.attestations == 0);
  std::filesystem::rename(f.dir.path() + "-away", f.dir.path());
  CHECK(f.keeper->AttestOnce());
  CHECK_FALSE(std::filesystem::exists(f.dir.File("node.sealed.probe")));
}

TEST_CASE("near the old one's end a renewal that cannot be stored is used, and stored later") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  const auto before = f.state->identity();
  std::filesystem::rename(f.dir.path(), f.dir.path() + "-away");
  f.clock.Advance(45min);
  CHECK(f.keeper->RenewOnce());
  const auto renewed = f.state->identity();
  CHECK_FALSE(renewed == before);
  CHECK_FALSE(f.state->Keep());
  std::filesystem::rename(f.dir.path() + "-away", f.dir.path());
  CHECK(f.state->Keep());
  f.Open();
  CHECK(f.state->identity()->chain == renewed->chain);
}

TEST_CASE("a state that was changed, or sealed by another key, is refused and stays as it is") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  f.keeper.reset();
  const std::string path = f.dir.File("node.sealed");
  Bytes content = *ReadFile(path, 1 << 20);
  content[content.size() / 2] ^= 1;
  REQUIRE(WriteFileAtomically(path, content, 0600));
  const auto kek = LoadOrCreateKek(f.dir.File("kek"));
  const auto changed = NodeState::Open(SealedFile(path, *kek, "node"), ExampleOrg());
  REQUIRE_FALSE(changed);
  CHECK(changed.error().reason == ca::kSealBroken);
  CHECK(*ReadFile(path, 1 << 20) == content);
}

TEST_CASE("a file sealed for one purpose does not open for another") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  const auto kek = LoadOrCreateKek(f.dir.File("kek"));
  CHECK_FALSE(SealedFile(f.dir.File("node.sealed"), *kek, "cache").Load());
}

TEST_CASE("a state of another trust domain is refused") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  const auto kek = LoadOrCreateKek(f.dir.File("kek"));
  const auto foreign = NodeState::Open(SealedFile(f.dir.File("node.sealed"), *kek, "node"),
                                       *identity::TrustDomain::Parse("other.org"));
  REQUIRE_FALSE(foreign);
  CHECK(foreign.error().reason == kStoredForeign);
}

TEST_CASE("erased means gone from disk") {
  Fixture f;
  REQUIRE(f.Keep(f.WithToken("good")).AttestOnce());
  REQUIRE(f.state->Erase());
  CHECK_FALSE(f.state->identity());
  f.Open();
  CHECK_FALSE(f.state->identity());
}

TEST_CASE("a key-encryption key that others may read is refused") {
  TempDir dir;
  REQUIRE(LoadOrCreateKek(dir.File("kek")));
  std::filesystem::permissions(dir.File("kek"), std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  const auto lax = LoadOrCreateKek(dir.File("kek"));
  REQUIRE_FALSE(lax);
  CHECK(lax.error().reason == kFilePermissionsLax);
}

TEST_CASE("records that are cut short or lie about lengths are refused") {
  RecordWriter writer;
  writer.Add("one");
  writer.Add("");
  const SecretBytes record = writer.Finish();
  RecordReader whole(record.view());
  CHECK(AsText(*whole.Next()) == "one");
  CHECK(whole.Next()->empty());
  CHECK(whole.AtEnd());
  CHECK(whole.Next().error().reason == kRecordMalformed);
  for (std::size_t cut = 0; cut < 7; ++cut)
    CHECK_FALSE(RecordReader(record.view().first(cut)).Next());
  const Bytes lying{0xff, 0xff, 0xff, 0xff, 1};
  CHECK_FALSE(RecordReader(lying).Next());
}

TEST_CASE("the server must be the server of this trust domain") {
  FakeClock clock;
  const SigningAuthority authority("example.org", clock.Now()), other("example.org", clock.Now());
  const ServerVerifier verifier(authority.bundle(), clock);
  const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
  const auto shown = [&](const SigningAuthority& issuer, const std::string& uri,
                         ca::Purpose purpose) {
    return verifier.Verify(
        issuer.Certify(key->public_key(), uri, clock.Now() - 1s, clock.Now() + 1h, purpose));
  };
  CHECK(shown(authority, "spiffe://example.org/spire/server", ca::Purpose::kServer));
  const auto workload = shown(authority, "spiffe://example.org/web", ca::Purpose::kWorkload);
  REQUIRE_FALSE(workload);
  CHECK(workload.error().reason == kServerNotItself);
  CHECK_FALSE(shown(other, "spiffe://example.org/spire/server", ca::Purpose::kServer));
}

TEST_CASE("a trust bundle is read as PEM or as SPIFFE JSON, and never empty") {
  TempDir dir;
  FakeClock clock;
  const SigningAuthority authority("example.org", clock.Now());
  REQUIRE(WriteFileAtomically(dir.File("pem"), AsBytes(ca::ToPem(authority.root())), 0644));
  REQUIRE(WriteFileAtomically(dir.File("json"),
                              AsBytes(identity::FormatSpiffeBundle(authority.bundle())), 0644));
  REQUIRE(WriteFileAtomically(dir.File("empty"), AsBytes(R"({"keys":[]})"), 0644));
  for (const char* name : {"pem", "json"}) {
    const auto bundle = LoadTrustBundle(dir.File(name), ExampleOrg());
    REQUIRE(bundle);
    CHECK(bundle->X509Roots() == authority.bundle().X509Roots());
  }
  for (const char* name : {"empty", "missing"}) {
    const auto refused = LoadTrustBundle(dir.File(name), ExampleOrg());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().reason == kTrustBundleUnusable);
  }
}
