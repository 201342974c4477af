#include "mesh/policy.h"

#include <catch2/catch.hpp>

namespace signet::mesh {
namespace {

using identity::SpiffeId;

SpiffeId Id(std::string_view text) { return SpiffeId::Parse(text).value(); }

struct ReadResult {
  ConnectionPolicy policy;
  ConfigProblems problems;
};

ReadResult Read(std::string_view text) {
  ReadResult result;
  ConfigMap root = ConfigMap::Parse(text, "proxy.yaml", &result.problems);
  result.policy = ConnectionPolicy::Read(root, "allow", "inbound[0]", &result.problems);
  root.Finish();
  return result;
}

// The one problem that `text` has.
ConfigProblem SoleProblem(std::string_view text) {
  const ReadResult result = Read(text);
  INFO(result.problems.Text());
  REQUIRE(result.problems.all().size() == 1);
  return result.problems.all().front();
}

TEST_CASE("a policy without rules denies everyone") {
  const Decision decision = ConnectionPolicy().Decide(Id("spiffe://td/web"));
  CHECK_FALSE(decision.allowed());
  CHECK(decision.rule == nullptr);
  CHECK(decision.Reason() == "no rule allows spiffe://td/web");
  CHECK_FALSE(Decision().allowed());
}

TEST_CASE(
    "a caller is allowed by the first rule that names it, and the reason says where it stands") {
  const ReadResult read = Read(
      "allow:\n"
      "  - id: spiffe://td/web\n"
      "  - name: everyone below\n"
      "    ids:\n"
      "      - spiffe://td/batch/*\n"
      "      - spiffe://td/web\n");
  CHECK(read.problems.Text() == "");
  const Decision web = read.policy.Decide(Id("spiffe://td/web"));
  CHECK(web.allowed());
  CHECK(web.Reason() == "allowed by inbound[0].allow[0] (proxy.yaml:2)");
  const Decision batch = read.policy.Decide(Id("spiffe://td/batch/nightly"));
  CHECK(batch.Reason() == "allowed by everyone below (proxy.yaml:3)");
  CHECK_FALSE(read.policy.Decide(Id("spiffe://td/batch")).allowed());
  CHECK_FALSE(read.policy.Decide(Id("spiffe://td/webb")).allowed());
  CHECK_FALSE(read.policy.Decide(Id("spiffe://other/web")).allowed());
}

TEST_CASE("a caller without an identity is denied by any policy") {
  const ReadResult read = Read("allow: [{id: 'spiffe://td/*'}]");
  const Decision decision = read.policy.Decide(SpiffeId());
  CHECK_FALSE(decision.allowed());
  CHECK(decision.Reason() == "no rule allows a caller without an identity");
}

TEST_CASE("an absent or empty list of rules is a policy that denies") {
  for (const std::string text : {"{}", "allow:", "allow: []"}) {
    const ReadResult read = Read(text);
    CHECK(read.problems.empty());
    CHECK(read.policy.rules().empty());
  }
}

TEST_CASE("a rule with neither id nor ids is a problem with its line") {
  const ConfigProblem problem = SoleProblem("allow:\n  - id: spiffe://td/a\n  - name: nobody\n");
  CHECK(problem.file == "proxy.yaml");
  CHECK(problem.line == 3);
  CHECK_THAT(problem.message, Catch::Contains("neither id nor ids"));
  CHECK_THAT(problem.hint, Catch::Contains("spiffe://"));
  CHECK_THAT(SoleProblem("allow: [{ids: []}]").message, Catch::Contains("neither"));
  CHECK_THAT(SoleProblem("allow: [{id: }]").message, Catch::Contains("neither"));
}

TEST_CASE("a malformed pattern is a problem with the pattern's own line") {
  const ConfigProblem problem =
      SoleProblem("allow:\n  - name: x\n    ids:\n      - spiffe://td/a\n      - spiffe://td/a*\n");
  CHECK(problem.line == 5);
  CHECK_THAT(problem.message, Catch::Contains("malformed SPIFFE ID"));
  CHECK(SoleProblem("allow:\n  - name: x\n    id: '*'\n").line == 3);
}

TEST_CASE("id and ids in one rule is a problem") {
  const ConfigProblem problem =
      SoleProblem("allow:\n  - id: spiffe://td/a\n    ids: [spiffe://td/b]\n");
  CHECK(problem.line == 3);
  CHECK_THAT(problem.message, Catch::Contains("both"));
}

TEST_CASE("two rules with one name, and a rule with an empty one, are problems") {
  const ConfigProblem problem =
      SoleProblem("allow:\n  - {name: a, id: spiffe://td/a}\n  - {name: a, id: spiffe://td/b}\n");
  CHECK(problem.line == 3);
  CHECK_THAT(problem.message, Catch::Contains("line 2"));
  CHECK_THAT(SoleProblem("allow: [{name: '', id: spiffe://td/a}]").message,
             Catch::Contains("empty"));
}

TEST_CASE("an unknown key of a rule is a problem that names the nearest known one") {
  const ConfigProblem problem = SoleProblem("allow:\n  - id: spiffe://td/a\n    nme: x\n");
  CHECK(problem.line == 3);
  CHECK(problem.hint == "did you mean 'name'?");
}

TEST_CASE("rules that are no list of maps are problems, all of them told") {
  CHECK_THAT(SoleProblem("allow: spiffe://td/a").message, Catch::Contains("list"));
  const ReadResult read = Read("allow:\n  - spiffe://td/a\n  - id: nonsense\n  - {}\n");
  CHECK(read.problems.all().size() == 3);
  CHECK_FALSE(read.policy.Decide(Id("spiffe://td/a")).allowed());
}

}  // namespace
}  // namespace signet::mesh
