// x509-limbo (limbo.json) against ca::BuildPath: a public suite of path validation cases, written
// for the Web PKI. The cases that are not relevant to this profile stand in limbo-not-relevant.json
// with a reason each, and are counted.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "identity/svid/x509_svid.h"
#include "tests/support/fake_clock.h"

namespace signet::identity {
namespace {

using nlohmann::json;

json ReadData(const std::string& name) {
  std::ifstream stream(std::string(SIGNET_TEST_DATA "/") + name);
  REQUIRE(stream.good());
  return json::parse(stream);
}

// "2024-04-01T00:00:00.005+00:00", the fraction optional; null is any time within all validities.
WallTime ReadTime(const json& time) {
  if (time.is_null()) return FromUnixSeconds(test::FakeClock::kDefaultUnixSeconds);
  const std::string text = time;
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  REQUIRE(rest != nullptr);
  REQUIRE(text.ends_with("+00:00"));
  const double fraction = *rest == '.' ? std::stod(rest) : 0;
  return FromUnixSeconds(timegm(&parts)) + std::chrono::milliseconds(std::lround(fraction * 1000));
}

struct LimboCase {
  std::string id;
  bool expected = false;
  WallTime now;
  ca::PathPolicy policy;
  std::vector<ca::Certificate> presented;  // empty when the peer's certificate does not parse
  std::vector<ca::Certificate> anchors;
};

// A certificate that does not parse can neither stand in a bundle nor on a path.
void AddParsed(const json& pem, std::vector<ca::Certificate>* certificates) {
  const auto parsed = ca::ParsePem(pem.get<std::string>(), 1);
  if (parsed) certificates->push_back(parsed->front());
}

LimboCase ReadCase(const json& row) {
  LimboCase limbo;
  limbo.id = row.at("id");
  const std::string expected = row.at("expected_result");
  REQUIRE((expected == "SUCCESS" || expected == "FAILURE"));
  limbo.expected = expected == "SUCCESS";
  limbo.now = ReadTime(row.at("validation_time"));
  if (!row.at("max_chain_depth").is_null()) limbo.policy.max_depth = row["max_chain_depth"];
  for (const json& pem : row.at("trusted_certs")) AddParsed(pem, &limbo.anchors);
  AddParsed(row.at("peer_certificate"), &limbo.presented);
  if (limbo.presented.empty()) return limbo;
  for (const json& pem : row.at("untrusted_intermediates")) AddParsed(pem, &limbo.presented);
  return limbo;
}

Result<ca::Chain> Build(const LimboCase& limbo) {
  return ca::BuildPath(limbo.presented, limbo.anchors, limbo.now, limbo.policy);
}

bool IsIn(const json& group, const std::string& id) {
  if (group.contains("prefix")) return id.starts_with(group["prefix"].get<std::string>());
  const json& cases = group.at("cases");
  return std::ranges::find(cases, json(id)) != cases.end();
}

// Which cases are left out; every group takes in as many as it says, and none is in two.
class NotRelevant {
 public:
  explicit NotRelevant(const json& groups) : groups_(groups), counts_(groups.size()) {}

  bool Takes(const std::string& id) {
    std::size_t taken = 0;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      if (!IsIn(groups_[i], id)) continue;
      ++counts_[i];
      ++taken;
    }
    CHECK(taken <= 1);
    return taken > 0;
  }

  void CheckCounts() const {
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      INFO(groups_[i].dump());
      CHECK_FALSE(groups_[i].at("reason").get<std::string>().empty());
      CHECK(counts_[i] == groups_[i].at("count"));
    }
  }

 private:
  const json& groups_;
  std::vector<std::size_t> counts_;
};

}  // namespace

TEST_CASE("every relevant x509-limbo case gets its verdict") {
  const json rows = ReadData("limbo.json").at("testcases");
  const json lists = ReadData("limbo-not-relevant.json");
  NotRelevant not_relevant(lists.at("groups"));
  std::map<std::string, std::string> leaf_rules;
  for (const json& row : lists.at("refused_as_leaf")) leaf_rules[row.at("id")] = row.at("rule");

  std::size_t by_path = 0;
  std::size_t by_leaf = 0;
  std::size_t left_out = 0;
  for (const json& row : rows) {
    const LimboCase limbo = ReadCase(row);
    INFO(limbo.id);
    const auto path = Build(limbo);
    INFO((path ? "a path" : path.error().Message()));
    if (const auto rule = leaf_rules.find(limbo.id); rule != leaf_rules.end()) {
      ++by_leaf;
      CHECK_FALSE(limbo.expected);
      const auto svid = ParseX509Svid(limbo.presented.at(0));
      REQUIRE_FALSE(svid);
      CHECK(svid.error().reason == kSvidMalformed);
      CHECK_THAT(svid.error().detail, Catch::Contains(rule->second));
    } else if (not_relevant.Takes(limbo.id)) {
      ++left_out;
    } else {
      ++by_path;
      CHECK(path.has_value() == limbo.expected);
    }
  }
  not_relevant.CheckCounts();
  CHECK(by_leaf == leaf_rules.size());
  CHECK(by_path + by_leaf + left_out == rows.size());
  WARN("x509-limbo: " << rows.size() << " cases, " << by_path << " answered by the path, "
                      << by_leaf << " by the rules of a leaf, " << left_out << " not relevant");
}

TEST_CASE("attack 28: no x509-limbo chain passes for an X.509-SVID") {
  const json rows = ReadData("limbo.json").at("testcases");
  const auto trust_domain = TrustDomain::Parse("example.com");
  REQUIRE(trust_domain);
  for (const json& row : rows) {
    const LimboCase limbo = ReadCase(row);
    INFO(limbo.id);
    Bundle bundle;
    bundle.trust_domain = *trust_domain;
    for (const ca::Certificate& anchor : limbo.anchors) bundle.x509_authorities.push_back({anchor});
    CHECK_FALSE(VerifyX509Svid(limbo.presented, {{*trust_domain, bundle}}, limbo.now));
  }
}

}  // namespace signet::identity
