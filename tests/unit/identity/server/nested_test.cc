// Authorities below another server: what the keeper makes of that server's bundle, and what becomes
// of ours when it rotates, taints, withdraws, or is away.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <map>

#include "ca/x509/path.h"
#include "ca/x509/request.h"
#include "identity/server/authority_keeper.h"
#include "identity/server/held_authorities.h"
#include "identity/server/upstream_signet.h"
#include "identity/svid/x509_svid.h"
#include "tests/support/eventually.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/store_values.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

// The server above, without a network: roots that rotate, a bundle, and moods.
class PeerAbove final : public UpstreamPeer {
 public:
  explicit PeerAbove(const Clock& clock) : clock_(clock) { AddRoot(); }

  Result<UpstreamTrust> FetchTrust() override {
    const std::lock_guard lock(mutex_);
    ++asked_;
    if (trouble_) return Fail(*trouble_);
    return trust_;
  }
  Result<Grant> NewDownstreamCa(const Bytes& request, seconds ttl) override {
    const std::lock_guard lock(mutex_);
    if (trouble_) return Fail(*trouble_);
    SIGNET_TRY(const ca::CertificateRequest read, ca::ParseRequest(request));
    const ca::DownstreamProfile profile{.uri_san = kTrustDomain.IdString(),
                                        .limits = limits_,
                                        .not_before = clock_.Now() - seconds(10),
                                        .not_after = clock_.Now() + ttl};
    const ca::PublicKey& key = foreign_key_ ? *foreign_key_ : read.public_key;
    SIGNET_TRY(const auto prepared,
               authority_->PrepareDownstream(key, profile, random_, clock_.Now()));
    SIGNET_TRY(ca::Certificate own, authority_->Sign(prepared));
    Grant grant{.chain = {std::move(own)}, .roots = {}};
    for (const X509BundleAuthority& root : trust_.x509) grant.roots.push_back(root.certificate);
    return grant;
  }
  Result<std::vector<JwtBundleAuthority>> PublishJwt(const JwtBundleAuthority& key) override {
    const std::lock_guard lock(mutex_);
    if (trouble_ || refuses_keys_)
      return Fail(trouble_ ? *trouble_ : Error{Code::kUnavailable, kUpstreamAnswered, "no keys"});
    trust_.jwt.push_back(key);
    return trust_.jwt;
  }
  Status ReportHeld(const std::vector<std::string>& authorities) override {
    const std::lock_guard lock(mutex_);
    if (refuses_reports_) return Fail(Code::kResourceExhausted, kUpstreamAnswered, "no reports");
    held_below_ = authorities;
    return {};
  }
  std::vector<std::string> held_below() {
    const std::lock_guard lock(mutex_);
    return held_below_;
  }
  void Stop() override {}

  // A new root that is published and certifies from now on.
  ca::Certificate AddRoot() {
    const std::lock_guard lock(mutex_);
    auto key = std::make_shared<const ca::PrivateKey>(
        ca::PrivateKey::Generate(ca::KeyType::kEcP256).value());
    authority_ = ca::X509Authority::CreateRoot({.uri_san = kTrustDomain.IdString(),
                                                .subject = {},
                                                .not_before = clock_.Now() - minutes(1),
                                                .not_after = clock_.Now() + hours(24 * 30)},
                                               key, random_,
                                               [](const ca::IssuanceIntent&) { return Status(); })
                     .value();
    trust_.x509.push_back({authority_->certificate(), false});
    trust_.is_whole = true;
    return authority_->certificate();
  }
  void Taint(const ca::Certificate& root) {
    Change([&] {
      for (auto& each : trust_.x509) each.tainted = each.tainted || each.certificate == root;
    });
  }
  void Withdraw(const ca::Certificate& root) {
    Change([&] {
      std::erase_if(trust_.x509, [&](const auto& each) { return each.certificate == root; });
    });
  }
  void PutKey(const JwtBundleAuthority& key) {
    Change([&] {
      std::erase_if(trust_.jwt, [&](const auto& each) { return each.key_id == key.key_id; });
      trust_.jwt.push_back(key);
    });
  }
  void WithdrawKey(const std::string& id) {
    Change([&] { std::erase_if(trust_.jwt, [&](const auto& each) { return each.key_id == id; }); });
  }
  void GoAway() {
    Change([&] { trouble_ = Error{Code::kUnavailable, kUpstreamAnswered, "away"}; });
  }
  void ComeBack() {
    Change([&] { trouble_.reset(); });
  }
  void RefuseReports() {
    Change([&] { refuses_reports_ = true; });
  }
  void RefuseKeys(bool yes) {
    Change([&] { refuses_keys_ = yes; });
  }
  void Limit(const ca::DownstreamLimits& limits) {
    Change([&] { limits_ = limits; });
  }
  void CertifyInstead(const ca::PublicKey& key) {
    Change([&] { foreign_key_ = key; });
  }
  bool HasKey(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return std::ranges::find(trust_.jwt, id, &JwtBundleAuthority::key_id) != trust_.jwt.end();
  }
  std::size_t asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  template <class Action>
  void Change(Action action) {
    const std::lock_guard lock(mutex_);
    action();
  }

  const Clock& clock_;
  OsRandom random_;
  std::mutex mutex_;
  std::shared_ptr<const ca::X509Authority> authority_;
  UpstreamTrust trust_;
  ca::DownstreamLimits limits_;
  std::optional<ca::PublicKey> foreign_key_;
  std::optional<Error> trouble_;
  bool refuses_keys_ = false;
  bool refuses_reports_ = false;
  std::size_t asked_ = 0;
  std::vector<std::string> held_below_;
};

struct World {
  test::FakeClock clock{std::chrono::ceil<seconds>(SystemClock().Now())};
  OsRandom random;
  Metrics metrics;
  Logger log = Logger::Null();
  ca::MemoryKeyStore keys;
  test::FakeStore store;
  std::unique_ptr<Registry> registry = Registry::Load(store, kTrustDomain, clock, random).value();
  PeerAbove* above = nullptr;
  std::unique_ptr<SignetUpstream> upstream;
  std::unique_ptr<AuthorityKeeper> keeper;

  World() {
    auto peer = std::make_unique<PeerAbove>(clock);
    above = peer.get();
    upstream = SignetUpstream::Start(
        std::move(peer), "upstream:8081", kTrustDomain,
        {.poll = milliseconds(2), .retry = {.first = milliseconds(1), .most = milliseconds(4)}},
        {clock, random, log, metrics});
  }
  ~World() { upstream.reset(); }
  Status Start() {
    AuthoritySettings settings;
    settings.upstream = upstream.get();
    SIGNET_TRY(keeper, AuthorityKeeper::Start(store, *registry, keys, settings, clock, random, log,
                                              metrics));
    keeper->SetAcknowledgementSource([this](const std::string&, Revision) {
      return Acknowledgement{.all = agents_hold,
                             .acknowledged = agents_hold ? std::size_t{1} : 0,
                             .live = 1,
                             .waiting_for = {}};
    });
    return {};
  }
  // Two answers from above that were begun after this call: the second one is of now.
  void Hear() {
    const std::size_t before = above->asked();
    REQUIRE(test::Eventually([&] { return above->asked() >= before + 2; }));
  }
  Status HearAndTick() {
    Hear();
    return keeper->Tick();
  }
  const X509BundleAuthority* Held(const ca::Certificate& root) {
    bundle = registry->OwnBundle();
    const auto& all = bundle->x509_authorities;
    const auto found = std::ranges::find(all, root, &X509BundleAuthority::certificate);
    return found == all.end() ? nullptr : &*found;
  }
  const JwtBundleAuthority* HeldKey(const std::string& id) {
    bundle = registry->OwnBundle();
    const auto& all = bundle->jwt_authorities;
    const auto found = std::ranges::find(all, id, &JwtBundleAuthority::key_id);
    return found == all.end() ? nullptr : &*found;
  }
  ca::Certificate OwnRoot() { return ca::Certificate::Parse(ActiveRecord().chain.back()).value(); }
  AuthorityRecord ActiveRecord() {
    const auto records = store.LoadAuthorities().value();
    return *std::ranges::find_if(records, [](const AuthorityRecord& record) {
      return record.type == kX509Authority && record.slot.state == ca::AuthorityState::kActive;
    });
  }
  void Rotate() {
    const auto next = keeper->PrepareNext(kX509Authority);
    REQUIRE(next);
    REQUIRE(keeper->ActivatePrepared(kX509Authority, next->id));
  }

  bool agents_hold = true;
  BundlePtr bundle;
};

JwtBundleAuthority SomeKey(const std::string& id) {
  static const ca::PrivateKey key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  return {.key_id = id, .public_key = ToBytes(key.public_key().spki()), .expires_at = 0};
}

}  // namespace

TEST_CASE("below another server the bundle is that server's, and our JWT authority is in it") {
  World w;
  w.above->PutKey(SomeKey("sibling"));
  w.Hear();
  REQUIRE(w.Start());
  const BundlePtr own = w.registry->OwnBundle();
  CHECK(own->X509Roots() == std::vector{w.OwnRoot()});
  CHECK(w.HeldKey("sibling") != nullptr);
  const auto jwt = w.keeper->ActiveJwt();
  CHECK(w.above->HasKey(jwt->key_id()));
  CHECK(w.HeldKey(jwt->key_id()) != nullptr);
  CHECK(w.keeper->Active()->upstream_chain().size() == 1);
  CHECK(w.keeper->UpstreamId(kX509Authority, w.keeper->Active()->id()) ==
        EncodeHex(w.OwnRoot().subject_key_id()));
}

TEST_CASE("a new root above is held at once, and is used by the next authority") {
  World w;
  REQUIRE(w.Start());
  const auto first = w.OwnRoot();
  const auto second = w.above->AddRoot();
  REQUIRE(w.HearAndTick());
  CHECK(w.Held(first) != nullptr);
  CHECK(w.Held(second) != nullptr);
  CHECK(w.OwnRoot() == first);
  w.Rotate();
  CHECK(w.OwnRoot() == second);
}

TEST_CASE("a root that is tainted above is left first, then tainted here, then follows it out") {
  World w;
  REQUIRE(w.Start());
  const auto first = w.OwnRoot();
  const auto second = w.above->AddRoot();
  w.above->Taint(first);
  w.agents_hold = false;
  REQUIRE(w.HearAndTick());
  // Agents do not hold the second one yet: nothing is refused or renewed before they do.
  CHECK(w.OwnRoot() == first);
  CHECK_FALSE(w.Held(first)->tainted);
  w.agents_hold = true;
  REQUIRE(w.keeper->Tick());
  CHECK(w.OwnRoot() == second);
  CHECK(w.Held(first)->tainted);
  w.above->Withdraw(first);
  REQUIRE(w.HearAndTick());
  CHECK(w.Held(first) == nullptr);
  CHECK(w.OwnRoot() == second);
}

TEST_CASE("agents that do not answer keep a tainted root in use for half a minute, no longer") {
  World w;
  REQUIRE(w.Start());
  const auto first = w.OwnRoot();
  const auto second = w.above->AddRoot();
  w.above->Taint(first);
  w.agents_hold = false;
  REQUIRE(w.HearAndTick());
  CHECK(w.OwnRoot() == first);
  w.clock.Advance(seconds(31));
  REQUIRE(w.keeper->Tick());
  CHECK(w.OwnRoot() == second);
  CHECK(w.Held(first)->tainted);
}

TEST_CASE("a root that is gone above without a word is left, tainted for a turn, and taken out") {
  World w;
  REQUIRE(w.Start());
  REQUIRE(w.HearAndTick());
  const auto first = w.OwnRoot();
  const auto second = w.above->AddRoot();
  w.above->Withdraw(first);
  REQUIRE(w.HearAndTick());
  CHECK(w.OwnRoot() == second);
  REQUIRE(w.Held(first) != nullptr);
  CHECK(w.Held(first)->tainted);
  REQUIRE(w.keeper->Tick());
  CHECK(w.Held(first) == nullptr);
}

TEST_CASE("a tainted root stays in use while the server above has no other, and it is said") {
  World w;
  REQUIRE(w.Start());
  const auto first = w.OwnRoot();
  w.above->Taint(first);
  w.Hear();
  CHECK_FALSE(w.keeper->Tick());
  CHECK(w.OwnRoot() == first);
  CHECK_FALSE(w.Held(first)->tainted);
  w.above->AddRoot();
  REQUIRE(w.HearAndTick());
  CHECK(w.OwnRoot() != first);
  CHECK(w.Held(first)->tainted);
}

TEST_CASE("the server above is told which of its roots everybody below holds, and no other") {
  World w;
  REQUIRE(w.Start());
  const auto id = [](const ca::Certificate& root) { return EncodeHex(root.subject_key_id()); };
  const auto first = w.OwnRoot();
  std::atomic<Revision> held_up_to = w.registry->revision();
  HeldAuthorities held(*w.registry, [&](const std::string&, Revision since) {
    return Acknowledgement{
        .all = held_up_to >= since, .acknowledged = 0, .live = 1, .waiting_for = {}};
  });
  w.upstream->SetHeldSource([&] { return held.List(); });
  const auto told = [&](const ca::Certificate& root) {
    return std::ranges::count(w.above->held_below(), id(root)) == 1;
  };
  w.Hear();
  CHECK(told(first));
  const auto second = w.above->AddRoot();
  REQUIRE(w.HearAndTick());
  w.Hear();
  CHECK(told(first));
  CHECK_FALSE(told(second));
  held_up_to = w.registry->revision();
  w.Hear();
  CHECK(told(second));
  // Another change is no reason to doubt what is held.
  w.above->PutKey(SomeKey("another"));
  REQUIRE(w.HearAndTick());
  w.Hear();
  CHECK(told(second));
  CHECK(std::ranges::count(w.above->held_below(), "another") == 0);
  w.upstream->Stop();
}

TEST_CASE("a server above that takes no report is heard all the same") {
  World w;
  REQUIRE(w.Start());
  w.above->RefuseReports();
  w.upstream->SetHeldSource([] { return std::vector<std::string>{"any"}; });
  w.Hear();
  const auto second = w.above->AddRoot();
  REQUIRE(w.HearAndTick());
  CHECK(w.Held(second) != nullptr);
  CHECK(w.upstream->Problems().empty());
}

TEST_CASE("what an administrator appended stays, whatever the server above holds") {
  World w;
  REQUIRE(w.Start());
  PeerAbove other(w.clock);
  const auto foreign = other.AddRoot();
  REQUIRE(w.registry->ChangeOwnBundle([&](Bundle& own) -> Status {
    own.x509_authorities.push_back({foreign, false});
    own.jwt_authorities.push_back(SomeKey("appended"));
    return {};
  }));
  REQUIRE(w.HearAndTick());
  REQUIRE(w.HearAndTick());
  CHECK(w.Held(foreign) != nullptr);
  CHECK(w.HeldKey("appended") != nullptr);
}

TEST_CASE("JWT authorities follow: new, tainted, gone; ours are never touched from above") {
  World w;
  REQUIRE(w.Start());
  auto key = SomeKey("other");
  w.above->PutKey(key);
  REQUIRE(w.HearAndTick());
  REQUIRE(w.HeldKey("other") != nullptr);
  key.tainted = true;
  w.above->PutKey(key);
  const std::string ours = w.keeper->ActiveJwt()->key_id();
  w.above->WithdrawKey(ours);
  REQUIRE(w.HearAndTick());
  CHECK(w.HeldKey("other")->tainted);
  CHECK(w.HeldKey(ours) != nullptr);
  CHECK(w.above->HasKey(ours));  // published again
  w.above->WithdrawKey("other");
  REQUIRE(w.HearAndTick());
  CHECK(w.HeldKey("other") == nullptr);
}

TEST_CASE("a JWT authority is not used before it is published above, while another one can be") {
  World w;
  REQUIRE(w.Start());
  const std::string first = w.keeper->ActiveJwt()->key_id();
  w.above->RefuseKeys(true);
  w.clock.Advance(hours(21));  // past five sixths of 24 h
  CHECK_FALSE(w.keeper->Tick());
  CHECK(w.keeper->ActiveJwt()->key_id() == first);
  w.above->RefuseKeys(false);
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->ActiveJwt()->key_id() != first);
  CHECK(w.above->HasKey(w.keeper->ActiveJwt()->key_id()));
}

TEST_CASE("keys of servers below ours go up") {
  World w;
  REQUIRE(w.Start());
  REQUIRE(w.keeper->PublishAbove(SomeKey("grandchild")));
  CHECK(w.above->HasKey("grandchild"));
  w.above->GoAway();
  CHECK(w.keeper->PublishAbove(SomeKey("late")).error().code == Code::kUnavailable);
}

TEST_CASE("while the server above is away ours goes on, says so, and takes up where it was") {
  World w;
  REQUIRE(w.Start());
  const std::string active = w.keeper->Active()->id();
  CHECK(w.upstream->Problems().empty());
  w.above->GoAway();
  REQUIRE(test::Eventually([&] { return !w.upstream->Problems().empty(); }));
  CHECK(w.upstream->Problems().front().find("upstream:8081") != std::string::npos);
  w.clock.Advance(hours(13));
  CHECK_FALSE(w.keeper->Tick());  // half of its life is over, and nobody certifies the next
  CHECK(w.keeper->Active()->id() == active);
  CHECK(w.upstream->Trust().x509.size() == 1);
  w.above->ComeBack();
  REQUIRE(test::Eventually([&] { return w.upstream->Problems().empty(); }));
  REQUIRE(w.keeper->Tick());
  w.clock.Advance(hours(8));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active()->id() != active);
}

TEST_CASE("a first start needs the server above, and a restart does not") {
  World w;
  w.above->GoAway();
  CHECK_FALSE(w.Start());
  w.above->ComeBack();
  REQUIRE(w.Start());
  const std::string active = w.keeper->Active()->id();
  w.above->GoAway();
  w.keeper.reset();
  REQUIRE(w.Start());
  CHECK(w.keeper->Active()->id() == active);
}

TEST_CASE("a certificate from above that nobody could use is refused before it is published") {
  World w;
  w.above->CertifyInstead(ca::PrivateKey::Generate(ca::KeyType::kEcP256).value().public_key());
  const Status over_another_key = w.Start();
  REQUIRE_FALSE(over_another_key);
  CHECK(over_another_key.error().reason == ca::kAuthorityKeyMismatch);
  World other;
  ca::DownstreamLimits limits;
  limits.permitted_uri_hosts = {"other.example"};
  other.above->Limit(limits);
  const Status constrained = other.Start();
  REQUIRE_FALSE(constrained);
  CHECK(constrained.error().reason == kUpstreamUnusable);
  limits.path_length = 0;
  limits.permitted_uri_hosts = {"example.org"};
  other.above->Limit(limits);
  REQUIRE(other.Start());
  CHECK(other.keeper->Active()->certificate().path_length() == 0);
}

TEST_CASE("the certificate that proves a grant is in the log as any other") {
  World w;
  REQUIRE(w.Start());
  const auto log = w.store.LoadLog({}).value();
  const auto proof = std::ranges::find_if(log, [&](const LoggedRecord& each) {
    return each.record.event == event::kIssued &&
           each.record.authority_id == w.keeper->Active()->id();
  });
  REQUIRE(proof != log.end());
  CHECK(proof->record.subject == "spiffe://example.org/spire/server");
  CHECK(proof->record.not_after <= UnixSeconds(w.clock.Now() + minutes(1)));
}

TEST_CASE(
    "a root above is tainted and revoked by hand only when the old authority alone is below") {
  World w;
  REQUIRE(w.Start());
  const auto first = w.OwnRoot();
  const std::string id = EncodeHex(first.subject_key_id());
  const auto refusal = [](const Status& status) { return status ? "" : status.error().detail; };
  CHECK(refusal(w.keeper->TaintUpstream("")) == "no subject key ID provided");
  CHECK(refusal(w.keeper->TaintUpstream(id)) == "the authority in use is below it");
  CHECK(refusal(w.keeper->TaintUpstream("abcd")) == "the old authority is not below it");
  const auto second = w.above->AddRoot();
  REQUIRE(w.HearAndTick());
  const auto next = w.keeper->PrepareNext(kX509Authority);
  REQUIRE(next);
  CHECK(refusal(w.keeper->TaintUpstream(EncodeHex(second.subject_key_id()))) ==
        "the prepared authority is below it");
  REQUIRE(w.keeper->ActivatePrepared(kX509Authority, next->id));
  CHECK(w.keeper->RevokeUpstream(id).error().reason == kAuthorityUntainted);
  REQUIRE(w.keeper->TaintUpstream(id));
  CHECK(w.Held(first)->tainted);
  CHECK(w.keeper->TaintUpstream(id).error().reason == kAuthorityTainted);
  CHECK(w.keeper->RevokeUpstream(id).error().reason == kUpstreamHolds);
  w.above->Withdraw(first);
  w.Hear();
  REQUIRE(w.keeper->RevokeUpstream(id));
  CHECK(w.Held(first) == nullptr);
  CHECK(w.keeper->RevokeUpstream(id).error().reason == kAuthorityUnpublished);
}

}  // namespace signet::identity
