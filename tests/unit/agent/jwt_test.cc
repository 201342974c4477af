#include <catch2/catch.hpp>

#include <future>

#include "agent/jwt/jwt_source.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using signet::test::FakeClock;
using signet::test::SigningAuthority;
using namespace std::chrono_literals;

namespace {

JwtPtr Token(const std::string& text, WallTime issued_at, Duration life) {
  return std::make_shared<const IssuedJwt>(IssuedJwt{text, "k", issued_at, issued_at + life});
}

// Issues "1", "2", …; or refuses.
class FakeIssuer final : public JwtIssuer {
 public:
  explicit FakeIssuer(const FakeClock& clock) : clock_(clock) {}
  Result<IssuedJwt> Issue(const AuthorizedEntry&, const std::vector<std::string>& audience,
                          Duration timeout) override {
    ++calls;
    last_audience = audience;
    last_timeout = timeout;
    if (before) before();
    if (away) return Fail(Code::kUnavailable, kServerAway);
    return IssuedJwt{std::to_string(calls), key_id, clock_.Now(), clock_.Now() + 300s};
  }
  int calls = 0;
  bool away = false;
  std::string key_id = "k";
  std::vector<std::string> last_audience;
  Duration last_timeout{};
  std::function<void()> before;

 private:
  const FakeClock& clock_;
};

struct World {
  World() : cache(ExampleOrg()), issuer(clock), source(cache, issuer, clock, metrics) {
    SetAuthorities({{"k", false}});
  }
  void SetAuthorities(const std::vector<std::pair<std::string, bool>>& authorities) {
    identity::Bundle bundle = authority.bundle();
    bundle.sequence_number = ++revision;
    bundle.jwt_authorities.clear();
    for (const auto& [key_id, tainted] : authorities)
      bundle.jwt_authorities.push_back(
          {key_id, ToBytes(authority.bundle().x509_authorities[0].certificate.public_key().spki()),
           0, tainted});
    REQUIRE(cache.Apply(Full(revision, {entry}, {bundle})));
  }
  std::string Fetch(const std::vector<std::string>& audience = {"a"}) {
    const auto token = source.Fetch(entry, audience);
    return token ? (*token)->token : std::string(token.error().reason.text);
  }

  FakeClock clock;
  Metrics metrics;
  SigningAuthority authority{"example.org", clock.Now()};
  AuthorizedEntry entry = Entry("1", "/one", {"unix:uid:1"});
  std::uint64_t revision = 0;
  Cache cache;
  FakeIssuer issuer;
  JwtSource source;
};

}  // namespace

TEST_CASE("the cache holds no more than its bound and drops what was unused longest") {
  const WallTime now = FromUnixSeconds(FakeClock::kDefaultUnixSeconds);
  JwtCache cache(2);
  cache.Put("a", Token("A", now, 300s));
  cache.Put("b", Token("B", now, 300s));
  REQUIRE(cache.Find("a", now));
  cache.Put("c", Token("C", now, 300s));
  CHECK(cache.size() == 2);
  CHECK(cache.Find("a", now)->token == "A");
  CHECK_FALSE(cache.Find("b", now));
  cache.Put("a", Token("A2", now, 300s));
  CHECK(cache.size() == 2);
  CHECK(cache.Find("a", now)->token == "A2");
}

TEST_CASE("an expired token is not found and takes no room") {
  const WallTime now = FromUnixSeconds(FakeClock::kDefaultUnixSeconds);
  JwtCache cache;
  cache.Put("a", Token("A", now, 300s));
  CHECK(cache.Find("a", now + 299s));
  CHECK_FALSE(cache.Find("a", now + 300s));
  CHECK(cache.size() == 0);
}

TEST_CASE("a key stands for entry and audience, whose order does not count") {
  const auto entry = Entry("1", "/one", {"unix:uid:1"});
  CHECK(JwtKey(entry, {"a", "b"}) == JwtKey(entry, {"b", "a"}));
  CHECK(JwtKey(entry, {"a", "b"}) != JwtKey(entry, {"a", "b", "a"}));
  CHECK(JwtKey(entry, {"a b"}) != JwtKey(entry, {"a", "b"}));
  CHECK(JwtKey(entry, {"a"}) != JwtKey(Entry("2", "/one", {"unix:uid:1"}), {"a"}));
  auto hinted = entry;
  hinted.hint = "h";
  hinted.revision_number = 7;
  CHECK(JwtKey(entry, {"a"}) == JwtKey(hinted, {"a"}));
  auto shorter = entry;
  shorter.jwt_svid_ttl = 60;
  CHECK(JwtKey(entry, {"a"}) != JwtKey(shorter, {"a"}));
}

TEST_CASE("a token is used until half of its life is over, then renewed") {
  World world;
  CHECK(world.Fetch() == "1");
  world.clock.Advance(149s);
  CHECK(world.Fetch() == "1");
  world.clock.Advance(1s);
  CHECK(world.Fetch() == "2");
  CHECK(world.Fetch({"b"}) == "3");
  CHECK(world.issuer.last_audience == std::vector<std::string>{"b"});
}

TEST_CASE("while the server is away a token is served until it expires, and waited for briefly") {
  World world;
  CHECK(world.Fetch() == "1");
  CHECK(world.issuer.last_timeout == 30s);
  world.issuer.away = true;
  world.clock.Advance(299s);
  CHECK(world.Fetch() == "1");
  CHECK(world.issuer.last_timeout == 5s);
  world.clock.Advance(1s);
  CHECK(world.Fetch() == kServerAway.text);
  CHECK(world.issuer.last_timeout == 30s);
}

TEST_CASE("tokens with a jti are never taken from the cache") {
  World world;
  world.entry.jwt_svid_include_jti = true;
  CHECK(world.Fetch() == "1");
  CHECK(world.Fetch() == "2");
  CHECK(world.source.cached() == 0);
}

TEST_CASE("a token of a tainted authority is renewed early; of a removed one it is never served") {
  World world;
  CHECK(world.Fetch() == "1");
  world.SetAuthorities({{"k", true}, {"next", false}});
  world.issuer.key_id = "next";
  CHECK(world.Fetch() == "2");
  CHECK(world.Fetch() == "2");
  world.SetAuthorities({{"next", true}});
  world.issuer.away = true;
  CHECK(world.Fetch() == "2");  // nothing better is to be had
  world.SetAuthorities({{"other", false}});
  CHECK(world.Fetch() == kServerAway.text);
}

TEST_CASE("callers who want the same token at once cause one request") {
  World world;
  std::promise<void> asked, answer;
  world.issuer.before = [&] {
    asked.set_value();
    answer.get_future().wait();
  };
  auto first = std::async(std::launch::async, [&] { return world.Fetch(); });
  asked.get_future().wait();
  std::vector<std::future<std::string>> others;
  for (int i = 0; i < 4; ++i)
    others.push_back(std::async(std::launch::async, [&] { return world.Fetch(); }));
  answer.set_value();
  CHECK(first.get() == "1");
  for (auto& other : others) CHECK(other.get() == "1");
  CHECK(world.issuer.calls == 1);
}

TEST_CASE("after Clear() nothing held before is handed out") {
  World world;
  CHECK(world.Fetch() == "1");
  world.source.Clear();
  world.issuer.away = true;
  CHECK(world.Fetch() == kServerAway.text);
}
