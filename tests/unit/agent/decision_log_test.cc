// What the log says of decisions, and how refusals are counted.
#include <catch2/catch.hpp>

#include "agent/endpoints/caller_gate.h"
#include "agent/endpoints/decision_log.h"
#include "agent/endpoints/refusal.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;

namespace {

std::string Told(const Metrics& metrics, const std::string& series) {
  const std::string text = metrics.Text();
  const auto begin = text.find("signet_agent_workload_refusals_total" + series + " ");
  if (begin == std::string::npos) return {};
  const auto value = text.find(' ', begin) + 1;
  return text.substr(value, text.find('\n', value) - value);
}

}  // namespace

TEST_CASE("selectors are told by their names, never by what may be a secret") {
  const auto selectors = identity::MakeSelectorSet({{"unix", "uid:1000"},
                                                    {"unix", "supplementary_gid:4"},
                                                    {"unix", "supplementary_gid:27"},
                                                    {"docker", "env:PASSWORD=hunter2"},
                                                    {"docker", "label:team:secret-project"},
                                                    {"odd", "hunter2"}});
  CHECK(SelectorNames(selectors) == "docker:env,docker:label,odd,unix:supplementary_gid,unix:uid");
  CHECK(SelectorNames({}).empty());
}

TEST_CASE("identities are told up to a bound, and counted beyond it") {
  WorkloadView view;
  CHECK(GrantedNames(view).empty());
  for (const char* path : {"/a", "/b"})
    view.grants.push_back(
        {std::make_shared<AuthorizedEntry>(Entry(path, path, {"unix:uid:1"})), nullptr});
  CHECK(GrantedNames(view) == "spiffe://example.org/a,spiffe://example.org/b");
  while (view.grants.size() < 1000) view.grants.push_back(view.grants.front());
  const std::string many = GrantedNames(view);
  CHECK(many.ends_with(" and 996 more"));
  CHECK(many.size() < 150);
}

TEST_CASE("refusals are counted by code and reason, with labels that are known beforehand") {
  Metrics metrics;
  RefusalCounters counters(metrics);
  counters.Count(Refusal(grpc::StatusCode::PERMISSION_DENIED, kNoIdentityIssued));
  counters.Count(Refusal(grpc::StatusCode::UNAVAILABLE, kNoToken, "server: away"));
  counters.Count({grpc::StatusCode::UNAVAILABLE, "whatever: " + std::string(100, 'x')});
  counters.Count({grpc::StatusCode::INVALID_ARGUMENT, "no identity issued"});  // not of this code
  counters.Count(grpc::Status::OK);
  counters.Count({grpc::StatusCode::CANCELLED, "the caller went away"});
  CHECK(Told(metrics, R"({code="permission_denied",reason="no_identity"})") == "1");
  CHECK(Told(metrics, R"({code="unavailable",reason="no_token"})") == "1");
  CHECK(Told(metrics, R"({code="unavailable",reason="other"})") == "1");
  CHECK(Told(metrics, R"({code="invalid_argument",reason="other"})") == "1");
  CHECK(Told(metrics, R"({code="invalid_argument",reason="no_security_header"})") == "0");
  CHECK(metrics.Text().find("xxx") == std::string::npos);
}
