#include "identity/svid/verdict_cache.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"
#include "tests/support/test_pki.h"

namespace signet::identity {
namespace {

using namespace std::chrono_literals;

struct TestVerdict {
  WallTime valid_until;
};
using Cache = VerdictCache<TestVerdict>;

struct Fixture {
  test::FakeClock clock;
  test::TestAuthority root{"spiffe://example.org"};
  test::CertifiedKey svid = root.Issue("spiffe://example.org/a");
  Cache::Bundles bundles = std::make_shared<const BundleMap>();
  std::shared_ptr<const TestVerdict> verdict =
      std::make_shared<const TestVerdict>(TestVerdict{clock.Now() + 1h});
  Cache cache;
};

}  // namespace

TEST_CASE("a verdict is found again for the same chain and bundles") {
  Fixture f;
  CHECK(f.cache.Find(f.svid.chain, f.bundles, f.clock.Now()) == nullptr);
  f.cache.Keep(f.svid.chain, f.bundles, f.clock.Now(), f.verdict);
  CHECK(f.cache.Find(f.svid.chain, f.bundles, f.clock.Now()) == f.verdict);
}

TEST_CASE("a verdict ends with the earliest end on its path, and begins when it was made") {
  Fixture f;
  const WallTime start = f.clock.Now();
  f.cache.Keep(f.svid.chain, f.bundles, start, f.verdict);
  CHECK(f.cache.Find(f.svid.chain, f.bundles, start + 1h - 1us) == f.verdict);
  CHECK(f.cache.Find(f.svid.chain, f.bundles, start + 1h) == nullptr);
  CHECK(f.cache.Find(f.svid.chain, f.bundles, start - 1us) == nullptr);
}

TEST_CASE("a verdict does not outlive its bundles, and the next ones push it out") {
  Fixture f;
  f.cache.Keep(f.svid.chain, f.bundles, f.clock.Now(), f.verdict);
  const Cache::Bundles next = std::make_shared<const BundleMap>();
  CHECK(f.cache.Find(f.svid.chain, next, f.clock.Now()) == nullptr);
  f.cache.Keep(f.root.Issue("spiffe://example.org/b").chain, next, f.clock.Now(), f.verdict);
  CHECK(f.cache.size() == 1);
  CHECK(f.cache.Find(f.svid.chain, next, f.clock.Now()) == nullptr);
  CHECK(f.cache.Find(f.svid.chain, f.bundles, f.clock.Now()) == nullptr);
}

TEST_CASE("another certificate, order or length is another chain") {
  Fixture f;
  const test::TestAuthority below = f.root.IssueAuthority("spiffe://example.org");
  const ca::Chain chain = below.Issue("spiffe://example.org/a").chain;
  REQUIRE(chain.size() == 2);
  f.cache.Keep(chain, f.bundles, f.clock.Now(), f.verdict);
  const ca::Chain turned{chain[1], chain[0]};
  const ca::Chain shorter{chain[0]};
  ca::Chain longer = chain;
  longer.push_back(f.root.certificate());
  CHECK(f.cache.Find(chain, f.bundles, f.clock.Now()) == f.verdict);
  for (const ca::Chain& other : {turned, shorter, longer, f.svid.chain})
    CHECK(f.cache.Find(other, f.bundles, f.clock.Now()) == nullptr);
}

TEST_CASE("verdicts are bounded, and those found lately stay") {
  Fixture f;
  Cache cache(4);
  std::vector<ca::Chain> chains;
  for (int i = 0; i < 12; ++i)
    chains.push_back(f.root.Issue("spiffe://example.org/" + std::to_string(i)).chain);
  cache.Keep(f.svid.chain, f.bundles, f.clock.Now(), f.verdict);
  for (const ca::Chain& chain : chains) {
    cache.Keep(chain, f.bundles, f.clock.Now(), f.verdict);
    CHECK(cache.size() <= 4);
    CHECK(cache.Find(chain, f.bundles, f.clock.Now()) == f.verdict);
    CHECK(cache.Find(f.svid.chain, f.bundles, f.clock.Now()) == f.verdict);
  }
  CHECK(cache.Find(chains.front(), f.bundles, f.clock.Now()) == nullptr);
}

}  // namespace signet::identity
