// The compiled policy against the obvious evaluator, over policies and requests drawn from small
// vocabularies, so that rules and requests meet often. Seeded: a failure names its seed.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <random>

#include "mesh/request_policy.h"
#include "tests/support/reference_policy.h"

namespace signet::mesh {
namespace {

using identity::SpiffeId;
using Words = std::vector<std::string>;

const Words kCallers = {"spiffe://td/a", "spiffe://td/a/b", "spiffe://td/ab", "spiffe://other/a",
                        "spiffe://td"};
const Words kCallerPatterns = {"spiffe://td/a",    "spiffe://td/a/*", "spiffe://td/*",
                               "spiffe://other/*", "spiffe://td/a/b", "spiffe://td"};
const Words kMethods = {"GET", "PUT", "POST", "OPTIONS", "CONNECT"};
const Words kPaths = {"/",       "/a",      "/a/",        "/a/b",  "/a/b/",   "/a/b/c",
                      "/b?x=/a", "/%C3%A9", "/a%20",      "/a//b", "/a/../b", "/x.S/Get",
                      "*",       "",        "/a/b/c/d?y", "/é"};
const Words kPathPatterns = {"/",     "/a",       "/a/",      "/*",      "/a/*",
                             "/{x}",  "/{x}/b",   "/a/{y}",   "/{x}/*",  "/%c3%a9",
                             "/a%20", "/a/b/{z}", "/a/b/c/*", "/{p}/{q}"};
const Words kGrpc = {"x.S/*", "x.S/Get", "y.S/Get"};
const Words kHosts = {"h", "H:80", "a.h", "b.a.h:81", "[::1]:80", "h.", ""};
const Words kHostPatterns = {"h", "h:80", "*.h", "*.a.h", "*.h:81", "[::1]"};
const Words kNames = {"x-a", "x-b", "x-c"};
const Words kSentNames = {"X-A", "x-b", "x-C", "x-other"};
const Words kValues = {"one", "two", "one, two", "one,three", " two ", "", "onerous", "three,"};
const Words kAsked = {"one", "two", "one, two", "three", "on"};
const Words kSources = {"10.0.0.1", "::ffff:10.1.0.1", "2001:db8::1", "192.0.2.1"};
const Words kRanges = {"10.0.0.0/8", "10.0.0.1", "2001:db8::/32", "::/0", "0.0.0.0/0"};

class World {
 public:
  explicit World(std::uint32_t seed) : random_(seed) {}

  bool Chance(int percent) { return Number(100) < static_cast<std::size_t>(percent); }
  std::size_t Number(std::size_t below) { return random_() % below; }
  const std::string& Pick(const Words& words) { return words[Number(words.size())]; }

  std::string List(std::string_view key, const Words& words) {
    std::string list;
    for (std::size_t i = 0; i <= Number(3); ++i)
      list += fmt::format("{}'{}'", i == 0 ? "" : ", ", Pick(words));
    return fmt::format("    {}: [{}]\n", key, list);
  }

  std::string Conditions(std::string_view key) {
    std::string list = fmt::format("    {}:\n", key);
    for (std::size_t i = 0; i <= Number(2); ++i) {
      list += fmt::format("      - {{name: {}, ", Pick(kNames));
      switch (Number(6)) {
        case 0:
          list += "present: true}\n";
          break;
        case 1:
          list += "absent: true}\n";
          break;
        case 2:
          list += fmt::format("prefix: '{}'}}\n", Pick(kAsked));
          break;
        case 3:
          list += fmt::format("prefix: '{}', value: '{}'}}\n", Pick(kAsked), Pick(kAsked));
          break;
        default:
          list += fmt::format("values: ['{}', '{}']}}\n", Pick(kAsked), Pick(kAsked));
      }
    }
    return list;
  }

  std::string Rule(bool allow) {
    std::string rule = fmt::format("  - mode: {}\n", Chance(25) ? "audit" : "enforce");
    if (allow || Chance(40)) rule += List("ids", kCallerPatterns);
    if (Chance(15)) rule += List("sources", kRanges);
    if (Chance(10)) rule += "    ports: [80, 81]\n";
    if (Chance(25)) rule += List("methods", kMethods);
    if (Chance(50))
      rule += List("paths", kPathPatterns);
    else if (Chance(20))
      rule += List("grpc", kGrpc);
    if (Chance(15)) rule += List("hosts", kHostPatterns);
    if (Chance(30)) rule += Conditions("headers");
    if (Chance(15)) rule += Conditions("claims");
    return rule;
  }

  std::string Policy() {
    std::string text = "allow:\n";
    const std::size_t allows = 1 + (Chance(5) ? Number(300) : Number(8));
    for (std::size_t i = 0; i < allows; ++i) text += Rule(true);
    const std::size_t denies = Number(4);
    if (denies > 0) text += "deny:\n";
    for (std::size_t i = 0; i < denies; ++i) text += Rule(false);
    return text;
  }

 private:
  std::mt19937 random_;
};

struct RandomRequest {
  explicit RandomRequest(World& world)
      : caller(SpiffeId::Parse(world.Pick(kCallers)).value()), path(world.Pick(kPaths)) {
    for (std::size_t i = world.Number(4); i > 0; --i)
      headers.push_back({world.Pick(kSentNames), world.Pick(kValues)});
    for (std::size_t i = world.Number(3); i > 0; --i)
      claims.push_back({world.Pick(kNames), world.Pick(kAsked)});
    if (!world.Chance(3)) facts.caller = &caller;
    if (!world.Chance(10)) facts.source = IpAddress::Parse(world.Pick(kSources)).value();
    facts.port = world.Chance(50) ? 80 : 443;
    facts.method = world.Pick(kMethods);
    facts.path = path;
    facts.host = world.Pick(kHosts);
    facts.grpc = world.Chance(40);
    facts.headers = headers;
    facts.claims = claims;
  }
  RandomRequest(const RandomRequest&) = delete;

  SpiffeId caller;
  std::string path;
  std::vector<NameValue> headers;
  std::vector<NameValue> claims;
  RequestFacts facts;
};

TEST_CASE(
    "the compiled policy decides as the obvious evaluator does, and audit rules never count") {
  std::array<std::size_t, 3> seen{};
  std::size_t differing = 0;
  for (std::uint32_t seed = 1; seed <= 600; ++seed) {
    World world(seed);
    const std::string text = world.Policy();
    ConfigProblems problems;
    ConfigMap root = ConfigMap::Parse(text, "random.yaml", &problems);
    const RequestPolicy policy =
        RequestPolicy::Read(root, {"inbound/x", "inbound[0]", PolicyLayer::kRequest}, &problems);
    INFO("seed " << seed << "\n" << text << problems.Text());
    REQUIRE(problems.empty());
    for (int i = 0; i < 40; ++i) {
      const RandomRequest request(world);
      const Decision decision = policy.Decide(request.facts);
      INFO(request.caller.ToString()
           << " " << request.facts.method << " '" << request.path << "' " << request.facts.host);
      const Verdict expected = test::ReferenceDecide(policy.rules(), false, request.facts);
      REQUIRE(decision.verdict == expected);
      const Verdict shadow = test::ReferenceDecide(policy.rules(), true, request.facts);
      REQUIRE(decision.shadow.differs == (shadow != expected));
      if (decision.rule != nullptr) {
        REQUIRE(decision.rule->mode == RuleMode::kEnforce);
        REQUIRE((decision.rule->effect == Effect::kAllow) == decision.allowed());
        REQUIRE(test::ReferenceMatches(*decision.rule, request.facts));
      }
      ++seen[static_cast<std::size_t>(expected)];
      differing += decision.shadow.differs ? 1 : 0;
    }
  }
  // The vocabularies must meet, or nothing was compared.
  for (const std::size_t count : seen) CHECK(count > 1000);
  CHECK(differing > 500);
}

}  // namespace
}  // namespace signet::mesh
