// The compiled table against the obvious evaluator, over routes and requests drawn from small
// vocabularies, so that they meet often. Seeded: a failure names its seed.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <random>

#include "mesh/routes/traffic.h"
#include "tests/support/reference_routes.h"

namespace signet::mesh {
namespace {

using Words = std::vector<std::string>;

const Words kHostnames = {"h", "a.h", "'*.h'", "'*.a.h'", "'*.b.a.h'", "H2"};
const Words kHosts = {"h", "H:80", "a.h", "x.h", "b.a.h:81", "c.b.a.h", "h2", "q", ".h", "h.", ""};
const Words kPrefixes = {"/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/%C3%A9"};
const Words kExact = {"/", "/a", "/a/", "/a/b", "/a%20"};
const Words kTemplates = {"/{x}", "/a/{y}", "/{x}/b", "/a/*", "/a/{y}/*", "/*"};
const Words kPaths = {"/",          "/a",         "/a/",      "/ab",     "/a/b",  "/a/b/",
                      "/a/b/c?q=1", "/b?q=1&q=2", "/%c3%a9",  "/a%20",   "/a//b", "*",
                      "",           "/a/b?q=2&r", "/b?%71=1", "/c?q=%31"};
const Words kMethods = {"GET", "POST", "OPTIONS", "CONNECT"};
const Words kNames = {"x-a", "x-b"};
const Words kSentNames = {"X-A", "x-b", "x-other"};
const Words kValues = {"one", "two", "one, two", " one ", ""};
const Words kAsked = {"one", "one, two", "on"};

class Draw {
 public:
  explicit Draw(std::uint32_t seed) : random_(seed) {}
  bool Chance(int percent) { return Number(100) < static_cast<std::size_t>(percent); }
  std::size_t Number(std::size_t below) { return random_() % below; }
  const std::string& Pick(const Words& words) { return words[Number(words.size())]; }

  std::string Match() {
    std::string match = "{";
    switch (Number(4)) {
      case 0:
        match += fmt::format("path: {{type: Exact, value: '{}'}}", Pick(kExact));
        break;
      case 1:
        match += fmt::format("path: {{type: PathTemplate, value: '{}'}}", Pick(kTemplates));
        break;
      default:
        match += fmt::format("path: {{value: '{}'}}", Pick(kPrefixes));
    }
    if (Chance(25)) match += ", method: " + Pick(kMethods);
    if (Chance(30)) {
      match += ", headers: [";
      for (std::size_t i = 0; i <= Number(2); ++i)
        match += fmt::format("{{name: {}, {}}}, ", Pick(kNames),
                             Chance(20)   ? "type: Present"
                             : Chance(30) ? fmt::format("type: Prefix, value: '{}'", Pick(kAsked))
                                          : fmt::format("value: '{}'", Pick(kAsked)));
      match += "]";
    }
    if (Chance(15))
      match += fmt::format(", queryParams: [{{name: {}}}]",
                           Chance(50) ? "q, value: '1'" : "r, type: Present");
    return match + "}";
  }

  std::string Routes() {
    std::string text = "routes:\n";
    for (std::size_t route = 0; route <= Number(4); ++route) {
      text += fmt::format("  - name: r{}\n", route);
      if (Chance(60)) {
        text += "    hostnames: [";
        for (std::size_t i = 0; i <= Number(2); ++i) text += Pick(kHostnames) + ", ";
        text += "]\n";
      }
      text += "    rules:\n";
      for (std::size_t rule = 0; rule <= Number(4); ++rule) {
        text += "      - matches: [";
        for (std::size_t i = 0; i <= Number(3); ++i) text += Match() + ", ";
        text += "]\n";
      }
    }
    return text;
  }

 private:
  std::mt19937 random_;
};

TEST_CASE("the compiled routes choose as the obvious evaluator does") {
  std::array<std::size_t, 3> seen{};
  for (std::uint32_t seed = 1; seed <= 600; ++seed) {
    Draw draw(seed);
    const std::string text = draw.Routes();
    ConfigProblems problems;
    ConfigMap root = ConfigMap::Parse(text, "random.yaml", &problems);
    const Traffic traffic = ReadTraffic(root, {"outbound/x", "outbound[0]", true, true}, &problems);
    INFO("seed " << seed << "\n" << text << problems.Text());
    REQUIRE(problems.empty());
    for (int i = 0; i < 60; ++i) {
      std::vector<NameValue> headers;
      for (std::size_t count = draw.Number(4); count > 0; --count)
        headers.push_back({draw.Pick(kSentNames), draw.Pick(kValues)});
      RequestFacts facts;
      facts.method = draw.Pick(kMethods);
      facts.path = draw.Pick(kPaths);
      facts.host = draw.Pick(kHosts);
      facts.headers = headers;
      const RouteChoice choice = traffic.routes->Choose(facts);
      const test::ReferenceRoute expected = test::ReferenceChoose(traffic.routes->routes(), facts);
      INFO(facts.method << " '" << facts.path << "' host '" << facts.host << "'");
      REQUIRE(choice.verdict == expected.verdict);
      REQUIRE((choice.rule == nullptr ? "" : choice.rule->name) == expected.rule);
      ++seen[static_cast<std::size_t>(choice.verdict)];
    }
  }
  for (const std::size_t each : seen) CHECK(each > 500);
}

}  // namespace
}  // namespace signet::mesh
