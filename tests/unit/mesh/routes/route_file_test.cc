#include "mesh/routes/route_file.h"

#include <catch2/catch.hpp>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace signet::mesh {
namespace {

constexpr char kFile[] =
    "outbound:\n"
    "  - name: shop\n"
    "    expect: [{id: spiffe://td/orders}]\n"
    "    backends:\n"
    "      - {name: stable, endpoints: [{address: '10.0.0.1:1', expect: [{id: spiffe://td/o}]}]}\n"
    "      - {name: canary, endpoints: [{address: '10.0.0.2:1', expect: [{id: spiffe://td/o}]}]}\n"
    "    routes:\n"
    "      - name: orders\n"
    "        hostnames: [orders.example.org]\n"
    "        rules:\n"
    "          - name: split\n"
    "            matches: [{path: {value: /v2}}]\n"
    "            backendRefs: [{name: stable, weight: 90}, {name: canary, weight: 10}]\n"
    "          - name: testers\n"
    "            matches: [{headers: [{name: x-beta, value: '1'}]}]\n"
    "            backendRefs: [{name: canary}]\n"
    "route_tests:\n"
    "  - {name: both, host: orders.example.org, path: /v2/7, rule: split, backends: [canary, "
    "stable]}\n"
    "  - {name: beta, host: orders.example.org, headers: [{name: x-beta, value: '1'}], rule: "
    "testers}\n"
    "  - {name: nobody, host: elsewhere.org, path: /v2, expect: none}\n"
    "  - {name: odd, host: orders.example.org, path: /v2//7, expect: malformed}\n"
    "  - {name: wrong, host: orders.example.org, path: /v3, rule: split}\n"
    "  - {name: wrong rule, host: orders.example.org, path: /v2, rule: testers}\n"
    "  - {name: wrong backends, host: orders.example.org, path: /v2, backends: [stable]}\n";

RouteFile Parse(std::string_view text, ConfigProblems* problems) {
  return RouteFile::Parse(text, "rules.yaml", problems);
}

TEST_CASE("the route tests in a file are run, and those that do not hold say why") {
  ConfigProblems problems;
  const RouteFile file = Parse(kFile, &problems);
  REQUIRE(problems.Text() == "");
  REQUIRE(file.tests.size() == 7);
  for (std::size_t i = 0; i < 4; ++i) {
    INFO(file.tests[i].name);
    CHECK(RunTest(file.tests[i], file) == "");
  }
  CHECK(RunTest(file.tests[4], file) == "expected found, got none");
  CHECK(RunTest(file.tests[5], file) == "expected rule 'testers', got rule split (rules.yaml:11)");
  CHECK(RunTest(file.tests[6], file) ==
        "expected backends stable, got canary, stable by rule split (rules.yaml:11)");
}

TEST_CASE("where a request goes is said with rule, file, line and shares") {
  ConfigProblems problems;
  const RouteFile file = Parse(kFile, &problems);
  const Traffic& traffic = file.Find("outbound/shop")->traffic;
  const auto explain = [&](const std::string& host, const std::string& path) {
    return Explain(WrittenRouteRequest{"GET", path, host, {}}.ChooseBy(traffic));
  };
  CHECK(explain("orders.example.org", "/v2") ==
        std::vector<std::string>{"rule split (rules.yaml:11)", "to stable: 90 of 100",
                                 "to canary: 10 of 100"});
  CHECK(explain("elsewhere.org", "/").front().find("404") != std::string::npos);
  CHECK(explain("orders.example.org", "/a/../b").front().find("400") != std::string::npos);
}

TEST_CASE("one backend alone takes every request") {
  ConfigProblems problems;
  const RouteFile file = Parse(
      "inbound: [{name: web, backends: [{name: only, endpoints: [{address: '10.0.0.1:1'}]}]}]\n"
      "route_tests: [{name: all, path: /x, backends: [only]}]\n",
      &problems);
  REQUIRE(problems.Text() == "");
  CHECK(RunTest(file.tests.at(0), file) == "");
}

TEST_CASE("every problem of routes and of their tests is told with its line") {
  const auto told = [](const std::string& text) {
    ConfigProblems problems;
    Parse(text, &problems);
    return problems.Text();
  };
  CHECK(told("route_tests: [{name: a, listener: outbound/x}]\n").find("no routes of") !=
        std::string::npos);
  CHECK(told("outbound:\n  - name: x\n    rotes: []\n").find("rules.yaml:3") != std::string::npos);
  CHECK(told(std::string(kFile) + "  - {name: b, expect: maybe}\n").find("'maybe' is no outcome") !=
        std::string::npos);
  CHECK(told(std::string(kFile) + "  - {path: /}\n").find("name") != std::string::npos);
}

TEST_CASE("of a proxy's configuration the routes are read, and those of the file it names") {
  const test::TempDir directory;
  REQUIRE(
      WriteFileAtomically(directory.File("rules.yaml"), AsBytes(std::string_view(kFile)), 0600));
  const std::string proxy =
      "rules_file: rules.yaml\nthreads: 2\noutbound: [{name: shop, listen: '127.0.0.1:1', "
      "protocol: "
      "http, expect: []}]\n";
  REQUIRE(WriteFileAtomically(directory.File("proxy.yaml"), AsBytes(proxy), 0600));
  ConfigProblems problems;
  const RouteFile file = RouteFile::Load(directory.File("proxy.yaml"), &problems);
  CHECK(problems.Text() == "");
  CHECK(file.tests.size() == 7);
  CHECK(file.Find("outbound/shop") != nullptr);
}

}  // namespace
}  // namespace signet::mesh
