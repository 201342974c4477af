#include "identity/attest/http_challenge_attestor.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "net/http_server.h"
#include "tests/support/fake_clock.h"

using namespace signet;
using namespace signet::identity;
using nlohmann::json;

namespace {

const TrustDomain kDomain = *TrustDomain::Parse("example.org");

std::string Payload(const json& host, const json& port, const json& agent = "default") {
  return json{{"hostname", host}, {"agentname", agent}, {"port", port}}.dump();
}

// A node on loopback that shows what a test tells it, and a name server that knows one name.
struct World {
  World() {
    net::Address any;
    any.host = "127.0.0.1";
    auto listener = net::ListenTcp(any);
    REQUIRE(listener);
    port = net::Address::Parse(net::LocalAddress(listener->get())->ToString())->port;
    auto started = net::HttpServer::Start(
        *std::move(listener),
        [this](net::HeadStatus, const net::HttpRequest& request) {
          path = request.path;
          return net::HttpResponse{200, "text/plain", shown + "\n"};
        },
        clock);
    REQUIRE(started);
    server = *std::move(started);
    settings.allowed_addresses = {*net::AddressRange::Parse("127.0.0.1")};
  }
  HttpChallengeAttestor Attestor() {
    return {kDomain, settings,
            [this](const net::Address& address) -> Result<std::vector<net::SocketAddress>> {
              ++lookups;
              if (leads_to.empty()) return Fail(Code::kUnavailable, net::kAddressUnresolved);
              net::Address there = address;
              there.host = leads_to;
              return there.Resolve();
            },
            random, log};
  }
  Result<NodeAttributes> Attest(const std::string& host) {
    const auto attestor = Attestor();
    const auto conversation = attestor.Begin();
    SIGNET_TRY(auto step, conversation->Take(Payload(host, port)));
    if (shows_nonce)
      shown = json::parse(std::get<Challenge>(step).message).at("nonce").get<std::string>();
    SIGNET_TRY(auto done, conversation->Take("\n"));
    return std::get<NodeAttributes>(done);
  }
  Error Refusal(const std::string& payload) {
    const auto attestor = Attestor();
    const auto step = attestor.Begin()->Take(payload);
    REQUIRE_FALSE(step);
    CHECK(lookups == 0);
    return step.error();
  }

  test::FakeClock clock;
  OsRandom random;
  const Logger log = Logger::Null();
  HttpChallengeSettings settings;
  std::string leads_to = "127.0.0.1";
  std::string shown;
  bool shows_nonce = true;
  std::string path;
  int lookups = 0;
  std::uint16_t port = 0;
  std::unique_ptr<net::HttpServer> server;
};

}  // namespace

TEST_CASE("http_challenge: a host that shows the nonce gets the ID and selector SPIRE gives it") {
  World world;
  const auto attributes = world.Attest("Web1.example.org");
  REQUIRE(attributes);
  CHECK(attributes->id.ToString() ==
        "spiffe://example.org/spire/agent/http_challenge/web1.example.org");
  CHECK(attributes->selector_values == std::vector<std::string>{"hostname:web1.example.org"});
  CHECK(world.path == "/.well-known/spiffe/nodeattestor/http_challenge/default/challenge");
  CHECK(attributes->first_use_only);
  CHECK_FALSE(attributes->can_reattest);
  world.settings.tofu = false;
  CHECK(world.Attest("web1.example.org")->can_reattest);
}

TEST_CASE("http_challenge: a host that shows something else is refused, and not quoted") {
  World world;
  world.shows_nonce = false;
  world.shown = "SECRET";
  const auto refused = world.Attest("web1.example.org");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == kCallbackFailed);
  CHECK(refused.error().Message().find("SECRET") == std::string::npos);
  world.shown.clear();
  CHECK_FALSE(world.Attest("web1.example.org"));
}

TEST_CASE("A11: http_challenge calls no address that is no target, whatever name leads there") {
  World world;
  for (const char* address :
       {"127.0.0.2", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.2"}) {
    world.leads_to = address;
    const auto refused = world.Attest("web1.example.org");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().reason == kCallbackFailed);
  }
  CHECK(world.path.empty());
}

TEST_CASE("A11: http_challenge does not tell a caller what is open or answering in the network") {
  World world;
  const auto said = [&] { return world.Attest("web1.example.org").error().Message(); };
  world.shows_nonce = false;
  const std::string other_page = said();
  world.server.reset();
  const std::string closed = said();
  world.leads_to = "169.254.169.254";
  const std::string not_called = said();
  world.leads_to.clear();
  const std::string unknown = said();
  CHECK(other_page == closed);
  CHECK(other_page == not_called);
  CHECK(other_page == unknown);
}

TEST_CASE("A11: http_challenge looks a name up once for an attestation") {
  World world;
  REQUIRE(world.Attest("web1.example.org"));
  CHECK(world.lookups == 1);
}

TEST_CASE("A11: names and ports that are none, or not allowed, are refused before any look-up") {
  World world;
  for (const auto& host :
       {"",          "localhost",    "LOCALHOST",  "a.localhost", "a b",
        "a/b",       "a:80",         "a@b",        "a?b",         "a#b",
        "[::1]",     "::1",          "a..b",       ".a",          "a.",
        "-a",        "a-",           "2130706433", "127.1",       "0x7f.1",
        "1.2.3.4.5", "a\r\nHost: b", "a%2eb",      "a_b",         "\xc3\xa9.org"}) {
    CAPTURE(host);
    world.Refusal(Payload(host, 80));
  }
  world.Refusal(Payload(std::string(254, 'a'), 80));
  world.Refusal(Payload(std::string("a\0b", 3), 80));
  for (const json& port : {json(0), json(-1), json(65536), json(80.5), json("80"), json(nullptr),
                           json(18446744073709551615u)})
    world.Refusal(Payload("a.org", port));
  for (const auto& agent : {"", "a/b", "../x", "a.b", "1a", "a b", "a\r\n"})
    world.Refusal(Payload("a.org", 80, agent));
  world.Refusal(Payload("a.org", 80, std::string(33, 'a')));
}

TEST_CASE("http_challenge: port rules and names an operator allows, whole") {
  World world;
  const auto refused = [&](const std::string& host, int port) {
    const auto attestor = world.Attestor();
    return !attestor.Begin()->Take(Payload(host, port));
  };
  world.settings.allow_non_root_ports = false;
  CHECK(refused("a.org", 1024));
  CHECK_FALSE(refused("a.org", 1023));
  world.settings.required_port = 80;
  CHECK(refused("a.org", 81));
  CHECK_FALSE(refused("a.org", 80));
  world.settings.allowed_dns_patterns = {*NamePattern::Parse("p[0-9]\\.example\\.org"),
                                         *NamePattern::Parse("one|two")};
  CHECK_FALSE(refused("p1.example.org", 80));
  CHECK(refused("p1xexample.org", 80));
  CHECK(refused("p1.example.org.evil.test", 80));
  CHECK(refused("xp1.example.org", 80));
  CHECK_FALSE(refused("two", 80));
  CHECK(refused("twotwo", 80));
  CHECK(NamePattern::Parse("a(b").error().reason == kPatternMalformed);
  CHECK(NamePattern::Parse("").error().reason == kPatternMalformed);
  CHECK_FALSE(NamePattern().Matches("a"));
}

TEST_CASE("A4: nobody but the verifier says that a host has answered") {
  using Proven = HttpChallengeVerifier::Proven;
  STATIC_REQUIRE_FALSE(std::is_default_constructible_v<Proven>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Proven, HttpChallengeVerifier::AnsweringHost>);
}
