// Authorities below a CA that is in files.
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "ca/x509/path.h"
#include "identity/server/authority_keeper.h"
#include "identity/server/upstream_disk.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/file_authority.h"
#include "tests/support/soft_token.h"
#include "tests/support/store_values.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

struct World {
  test::FileAuthority above;
  test::FakeClock clock{std::chrono::ceil<seconds>(SystemClock().Now())};
  OsRandom random;
  Metrics metrics;
  Logger log = Logger::Null();
  ca::MemoryKeyStore keys;
  test::FakeStore store;
  std::unique_ptr<Registry> registry = Registry::Load(store, kTrustDomain, clock, random).value();
  std::unique_ptr<DiskUpstream> upstream;
  std::unique_ptr<AuthorityKeeper> keeper;

  DiskUpstreamConfig Files() const {
    DiskUpstreamConfig config;
    config.certificate_file = above.certificate_file();
    config.key_file = above.key_file();
    config.bundle_file = above.bundle_file();
    return config;
  }
  Status Start(const DiskUpstreamConfig& config) {
    SIGNET_TRY(upstream, DiskUpstream::Open(config, clock, random, log));
    AuthoritySettings settings;
    settings.upstream = upstream.get();
    SIGNET_TRY(keeper, AuthorityKeeper::Start(store, *registry, keys, settings, clock, random, log,
                                              metrics));
    return {};
  }
  // A leaf by the active authority, and what is sent along with it.
  ca::Chain Issue() {
    static const ca::PrivateKey key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
    const auto active = keeper->Active();
    const auto prepared = active
                              ->Prepare(key.public_key(),
                                        {.purpose = ca::Purpose::kWorkload,
                                         .uri_san = "spiffe://example.org/w",
                                         .dns_sans = {},
                                         .subject = {},
                                         .not_before = clock.Now() - seconds(10),
                                         .not_after = clock.Now() + minutes(10)},
                                        random, clock.Now())
                              .value();
    ca::Chain chain = {active->Sign(prepared).value()};
    const auto& behind = active->upstream_chain();
    chain.insert(chain.end(), behind.begin(), behind.end());
    return chain;
  }
  bool Verifies(const ca::Chain& chain) const {
    return ca::BuildPath(chain, registry->OwnBundle()->X509Roots(), clock.Now()).has_value();
  }
  bool HasRoot(const ca::Certificate& root) const {
    const auto roots = registry->OwnBundle()->X509Roots();
    return std::ranges::find(roots, root) != roots.end();
  }
  Error Refused(const DiskUpstreamConfig& config) {
    const auto opened = DiskUpstream::Open(config, clock, random, log);
    return opened ? Error{} : opened.error();
  }
};

}  // namespace

TEST_CASE("below a CA in files the bundle holds its root alone, and SVIDs verify by it") {
  World w;
  REQUIRE(w.Start(w.Files()));
  const auto roots = w.registry->OwnBundle()->X509Roots();
  REQUIRE(roots.size() == 1);
  CHECK(roots.front() == w.above.root());
  const auto chain = w.Issue();
  REQUIRE(chain.size() == 3);  // the SVID, ours, the CA's; never the root
  CHECK(w.Verifies(chain));
  CHECK(chain[1] == w.keeper->Active()->certificate());
  CHECK(chain[1].path_length() == 0);  // one less than the CA's own
  CHECK(chain[2] == w.above.authority());
  // It was recorded before it was signed.
  const auto rows = test::LoadIssuances(w.store, chain[1].SerialHex(), 10);
  REQUIRE(rows.size() == 1);
  CHECK(rows.front().purpose == "intermediate");
  CHECK(rows.front().subject == "spiffe://example.org");
}

TEST_CASE("a root in a file certifies by itself") {
  World w;
  DiskUpstreamConfig config = w.Files();
  config.certificate_file = w.above.bundle_file();
  config.key_file = w.above.root_key_file();
  config.bundle_file.clear();
  const Status started = w.Start(config);
  INFO((started ? "started" : started.error().Message()));
  REQUIRE(started);
  const auto chain = w.Issue();
  CHECK(chain.size() == 2);
  CHECK(w.Verifies(chain));
  CHECK(w.registry->OwnBundle()->X509Roots() == std::vector{w.above.root()});
}

TEST_CASE("the CA's key may be in a token, which is all that is read of it") {
  World w;
  DiskUpstreamConfig config = w.Files();
  config.key_file.clear();
  config.token = test::SoftToken::Instance().settings();
  config.key_label = "upstream-ca";
  CHECK(w.Refused(config).reason == ca::kKeyNotFound);
  const auto token = ca::Pkcs11KeyStore::Create(config.token).value();
  const auto key = token->Generate("upstream-ca", ca::KeyType::kEcP256).value();
  CHECK(w.Refused(config).reason == kUpstreamUnusable);  // the certificate is over another key
  w.above.CertifyInstead(key->public_key().spki());
  w.clock.Advance(minutes(1));
  REQUIRE(w.Start(config));
  CHECK(w.Verifies(w.Issue()));
  CHECK(w.Issue()[2] == w.above.authority());
  REQUIRE(token->Remove("upstream-ca"));
}

TEST_CASE("nothing is certified above when it cannot be recorded") {
  World w;
  REQUIRE(w.Start(w.Files()));
  w.store.FailNextAppend({Code::kResourceExhausted, kStoreFull, {}});
  const auto refused = w.keeper->PrepareNext(kX509Authority);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kStoreFull);
  CHECK(w.keeper->PrepareNext(kX509Authority));
}

TEST_CASE("what the configuration limits our authorities to stands in their certificates") {
  World w;
  DiskUpstreamConfig config = w.Files();
  config.limits.path_length = 0;
  config.limits.permitted_uri_hosts = {"example.org"};
  REQUIRE(w.Start(config));
  CHECK(w.keeper->Active()->certificate().path_length() == 0);
  CHECK(w.Verifies(w.Issue()));
  config.limits.permitted_uri_hosts = {"other.example"};
  World other;
  DiskUpstreamConfig narrow = other.Files();
  narrow.limits.permitted_uri_hosts = {"other.example"};
  REQUIRE(other.Start(narrow));
  CHECK_FALSE(other.Verifies(other.Issue()));
}

TEST_CASE(
    "a CA that is replaced certifies the next authority; until it ends the one before stays") {
  World w;
  REQUIRE(w.Start(w.Files()));
  const auto before = w.above.root();
  const auto early = w.Issue();
  w.above.Replace();
  w.clock.Advance(minutes(1));  // what was made just now is valid
  REQUIRE(w.keeper->Tick());
  // The new root is known before anything is signed below it.
  CHECK(w.HasRoot(before));
  CHECK(w.HasRoot(w.above.root()));
  CHECK(w.Issue()[2] == early[2]);
  const auto next = w.keeper->PrepareNext(kX509Authority);
  REQUIRE(next);
  REQUIRE(w.keeper->ActivatePrepared(kX509Authority, next->id));
  CHECK(w.Issue()[2] == w.above.authority());
  CHECK(w.Verifies(w.Issue()));
  CHECK(w.Verifies(early));
}

TEST_CASE("files that cannot be used leave the CA that was read before") {
  World w;
  REQUIRE(w.Start(w.Files()));
  const auto ca = w.above.authority();
  const std::string pem = test::ReadText(w.above.certificate_file());
  const auto certifies = [&] {
    const auto next = w.keeper->PrepareNext(kX509Authority);
    return next && w.keeper->ActivatePrepared(kX509Authority, next->id) && w.Issue()[2] == ca;
  };
  test::WriteText(w.above.certificate_file(), "no certificate");
  CHECK(certifies());
  std::filesystem::remove(w.above.certificate_file());
  CHECK(certifies());
  test::WriteText(w.above.certificate_file(), pem);
  REQUIRE(chmod(w.above.key_file().c_str(), 0644) == 0);
  test::WriteText(w.above.key_file(), "no key");
  CHECK(certifies());
}

TEST_CASE("a CA in files is refused at the start with the file and the reason") {
  World w;
  const auto refused = [&](const DiskUpstreamConfig& config, const std::string& file) {
    const Error error = w.Refused(config);
    CAPTURE(error.Message());
    return error.reason == kUpstreamUnusable && error.detail.find(file) != std::string::npos;
  };
  CHECK(w.Refused(w.Files()).reason.text.empty());
  DiskUpstreamConfig config = w.Files();
  config.certificate_file = "/nowhere/ca.pem";
  CHECK(refused(config, "/nowhere/ca.pem"));
  config = w.Files();
  config.bundle_file.clear();  // and its own file does not end with a root
  CHECK(refused(config, config.certificate_file));
  test::FileAuthority stranger;
  config = w.Files();
  config.key_file = stranger.key_file();
  CHECK(refused(config, config.certificate_file));
  config = w.Files();
  config.bundle_file = stranger.bundle_file();
  CHECK(refused(config, config.certificate_file));
  config = w.Files();
  REQUIRE(chmod(config.key_file.c_str(), 0640) == 0);
  CHECK(refused(config, config.key_file));
}

TEST_CASE("nothing outlives the CA above, and one that has ended certifies nothing more") {
  World w;
  w.above.ReplaceEnding(1);
  w.clock.Advance(minutes(1));
  REQUIRE(w.Start(w.Files()));
  w.clock.Advance(hours(23));
  REQUIRE(w.keeper->Tick());
  CHECK(w.keeper->Active()->certificate().not_after() <= w.above.authority().not_after());
  CHECK(w.Verifies(w.Issue()));
  w.clock.Advance(hours(2));
  CHECK_FALSE(w.keeper->Tick());
  w.above.Replace();
  REQUIRE(w.keeper->Tick());
  CHECK(w.Verifies(w.Issue()));
}

TEST_CASE("an authority below a root that agents hold already is not waited for again") {
  World w;
  REQUIRE(w.Start(w.Files()));
  std::map<std::string, Revision> asked;
  w.keeper->SetAcknowledgementSource([&](const std::string& id, Revision published_at) {
    asked[id] = published_at;
    return Acknowledgement{.all = true, .acknowledged = 1, .live = 1, .waiting_for = {}};
  });
  const Revision known = w.registry->revision();
  for (int i = 0; i < 3; ++i)
    REQUIRE(w.registry->ChangeOwnBundle([&](Bundle& own) -> Status {
      own.refresh_hint += 1;
      return {};
    }));
  const auto next = w.keeper->PrepareNext(kX509Authority);
  REQUIRE(next);
  REQUIRE(w.keeper->ActivatePrepared(kX509Authority, next->id));
  CHECK(asked.at(next->id) <= known);
}

TEST_CASE("an authority of ours is neither tainted nor revoked below another one") {
  World w;
  REQUIRE(w.Start(w.Files()));
  const std::string first = w.keeper->Active()->id();
  const auto next = w.keeper->PrepareNext(kX509Authority);
  REQUIRE(next);
  REQUIRE(w.keeper->ActivatePrepared(kX509Authority, next->id));
  CHECK(w.keeper->TaintOld(kX509Authority, first).error().code == Code::kFailedPrecondition);
  CHECK(w.keeper->Revoke(kX509Authority, first).error().reason == kAuthorityBelow);
  CHECK(w.HasRoot(w.above.root()));
}

}  // namespace signet::identity
