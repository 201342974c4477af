#include "mesh/policy_file.h"

#include <catch2/catch.hpp>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace signet::mesh {
namespace {

constexpr char kFile[] =
    "inbound:\n"
    "  - name: web\n"
    "    deny:\n"
    "      - {name: no admin, paths: [/admin/*]}\n"
    "    allow:\n"
    "      - {name: shop, id: spiffe://td/shop}\n"
    "      - {name: soon, id: spiffe://td/batch, mode: audit}\n"
    "tests:\n"
    "  - {name: shop reads, caller: spiffe://td/shop, path: /orders, expect: allow, rule: shop}\n"
    "  - {name: no admin, caller: spiffe://td/shop, path: /admin/x, expect: deny, rule: no admin}\n"
    "  - {name: odd, caller: spiffe://td/shop, path: /a//b, expect: malformed}\n"
    "  - {name: batch soon, caller: spiffe://td/batch, expect: deny, audit: allow}\n"
    "  - {name: wrong, caller: spiffe://td/batch, expect: allow}\n"
    "  - {name: wrong rule, caller: spiffe://td/shop, expect: allow, rule: other}\n"
    "  - {name: wrong audit, caller: spiffe://td/batch, expect: deny, audit: deny}\n";

PolicyFile Parse(std::string_view text, ConfigProblems* problems) {
  return PolicyFile::Parse(text, "rules.yaml", problems);
}

TEST_CASE("the tests in a file are run, and those that do not hold say why") {
  ConfigProblems problems;
  const PolicyFile file = Parse(kFile, &problems);
  REQUIRE(problems.Text() == "");
  REQUIRE(file.tests.size() == 7);
  for (std::size_t i = 0; i < 4; ++i) {
    INFO(file.tests[i].name);
    CHECK(RunTest(file.tests[i], file) == "");
  }
  CHECK(RunTest(file.tests[4], file) ==
        "expected allow, got deny: no rule allows spiffe://td/batch");
  CHECK(RunTest(file.tests[5], file) ==
        "expected rule 'other' to decide: allowed by shop (rules.yaml:6)");
  CHECK(RunTest(file.tests[6], file) ==
        "expected deny with the audit rules, got allow by soon (rules.yaml:7)");
  CHECK(file.tests[6].line == 15);
}

TEST_CASE("an id leads to rule, file and line, or to the listener that has no rule") {
  ConfigProblems problems;
  const PolicyFile file = Parse(kFile, &problems);
  const RequestPolicy& policy = file.listeners.at(0).policy;
  const Decision denied = file.tests[1].request.DecideBy(policy);
  RefusalIds ids(1);
  CHECK(ExplainId(ids.Next(denied), file) ==
        std::vector<std::string>{"denied by rule no admin (rules.yaml:4) of inbound/web"});
  CHECK(ExplainId(policy.no_rule_id(), file).at(0) ==
        "no rule of inbound/web (rules.yaml:2) allows the request");
  CHECK(ExplainId(policy.malformed_id(), file).size() == 1);
  CHECK(ExplainId("0000000000-00000000", file).empty());
}

TEST_CASE("routes and backends that stand beside rules are not looked at") {
  ConfigProblems problems;
  const PolicyFile file =
      Parse("inbound: [{name: web, allow: [{id: spiffe://td/a}], routes: [{}], backends: [{}]}]",
            &problems);
  CHECK(problems.Text() == "");
  CHECK(file.listeners.size() == 1);
}

TEST_CASE("a test of no listener, without a verdict or with an unknown setting is a problem") {
  const auto sole = [](const std::string& test, const std::string& more = "") {
    ConfigProblems problems;
    Parse("inbound: [{name: a}, {name: b}]\ntests: [{" + test + "}]\n" + more, &problems);
    INFO(problems.Text());
    REQUIRE(problems.all().size() == 1);
    return problems.all().front().message;
  };
  CHECK_THAT(sole("name: x, expect: deny"), Catch::Contains("more than one"));
  CHECK_THAT(sole("name: x, expect: deny, listener: c"), Catch::Contains("no listener 'c'"));
  CHECK_THAT(sole("name: x, listener: a"), Catch::Contains("missing"));
  CHECK_THAT(sole("name: x, listener: a, expect: maybe"), Catch::Contains("not a verdict"));
  CHECK_THAT(sole("name: x, listener: a, expect: deny, pth: /"), Catch::Contains("unknown"));
  CHECK_THAT(sole("name: x, listener: a, expect: deny, caller: me"), Catch::Contains("SPIFFE ID"));
}

TEST_CASE("of a proxy's configuration the rules are read, and those of the file it names") {
  test::TempDir folder;
  const auto write = [&](const char* name, std::string_view text) {
    REQUIRE(WriteFileAtomically(folder.File(name), AsBytes(text), 0600));
  };
  write("proxy.yaml",
        "workload_api: /run/x.sock\n"
        "rules_file: rules.yaml\n"
        "inbound:\n"
        "  - {name: db, listen: '127.0.0.1:1', forward: '127.0.0.1:2', idle: 1h,\n"
        "     allow: [{id: spiffe://td/shop}]}\n"
        "outbound:\n"
        "  - {name: out, listen: '127.0.0.1:3', forward: 'x:4', expect: [{id: spiffe://td/x}]}\n");
  write("rules.yaml", "inbound: [{name: db, deny: [{id: spiffe://td/shop, name: gone}]}]\n");
  ConfigProblems problems;
  const PolicyFile file = PolicyFile::Load(folder.File("proxy.yaml"), &problems);
  REQUIRE(problems.Text() == "");
  REQUIRE(file.listeners.size() == 2);
  REQUIRE(file.Find("db") != nullptr);
  CHECK(file.Find("db")->policy.rules().size() == 2);
  CHECK(file.Find("outbound/out") != nullptr);
  CHECK(file.Find("") == nullptr);
  WrittenRequest request;
  request.caller = identity::SpiffeId::Parse("spiffe://td/shop").value();
  CHECK(request.DecideBy(file.Find("db")->policy).rule->name == "gone");
}

}  // namespace
}  // namespace signet::mesh
