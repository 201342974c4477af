#include "agent/endpoints/endpoint_options.h"

#include <catch2/catch.hpp>

using namespace signet;
using namespace signet::agent;

namespace {

EndpointOptions Read(const std::string& text, ConfigProblems* problems) {
  ConfigMap root = ConfigMap::Parse(text, "agent.yaml", problems);
  EndpointOptions options = ReadEndpointOptions(&root);
  root.Finish();
  return options;
}

std::vector<int> LinesOfProblems(const std::string& text) {
  ConfigProblems problems;
  Read(text, &problems);
  std::vector<int> lines;
  for (const ConfigProblem& problem : problems.all()) lines.push_back(problem.line);
  return lines;
}

}  // namespace

TEST_CASE("without a word the sockets are SPIRE's by default, and there is no admin socket") {
  ConfigProblems problems;
  const EndpointOptions options = Read("{}", &problems);
  REQUIRE(problems.Text() == "");
  CHECK(options.sds.enabled);
  CHECK(options.sds.default_svid_name == "default");
  CHECK(options.sds.default_bundle_name == "ROOTCA");
  CHECK(options.sds.default_all_bundles_name == "ALL");
  CHECK_FALSE(options.sds.disable_spiffe_cert_validation);
  CHECK_FALSE(options.allow_unauthenticated_verifiers);
  CHECK(options.allowed_foreign_jwt_claims.empty());
  CHECK(options.authorized_delegates.empty());
  CHECK_FALSE(options.admin_socket);
}

TEST_CASE("everything about the sockets can be said") {
  ConfigProblems problems;
  const EndpointOptions options = Read(R"(
disable_sds_api: true
sds:
  default_svid_name: mine
  default_bundle_name: root
  default_all_bundles_name: everyone
  disable_spiffe_cert_validation: true
allow_unauthenticated_verifiers: true
allowed_foreign_jwt_claims: [iss, role]
authorized_delegates: ["spiffe://example.org/delegate"]
admin_socket: unix:/run/admin.sock
admin:
  mode: "0600"
  owner: "0"
  group: root
)",
                                       &problems);
  REQUIRE(problems.Text() == "");
  CHECK_FALSE(options.sds.enabled);
  CHECK(options.sds.default_svid_name == "mine");
  CHECK(options.sds.default_bundle_name == "root");
  CHECK(options.sds.default_all_bundles_name == "everyone");
  CHECK(options.sds.disable_spiffe_cert_validation);
  CHECK(options.allow_unauthenticated_verifiers);
  CHECK(options.allowed_foreign_jwt_claims.size() == 2);
  CHECK(options.authorized_delegates.begin()->path() == "/delegate");
  REQUIRE(options.admin_socket);
  CHECK(options.admin_socket->path == "/run/admin.sock");
  CHECK(options.admin_socket->mode == 0600);
  CHECK(options.admin_socket->owner == 0);
  CHECK(options.admin_socket->group == 0);
}

TEST_CASE("what cannot be meant is a problem at its line") {
  CHECK(LinesOfProblems("admin_socket: relative.sock\n") == std::vector<int>{1});
  CHECK(LinesOfProblems("admin_socket: /" + std::string(120, 'a') + "\n") == std::vector<int>{1});
  CHECK(LinesOfProblems("\nadmin:\n  mode: \"0600\"\n") == std::vector<int>{2});
  CHECK(LinesOfProblems("admin_socket: /a\nadmin:\n  mode: \"9\"\n  group: no-such-group-here\n") ==
        std::vector<int>{3, 4});
  CHECK(LinesOfProblems("admin_socket: /a\nauthorized_delegates:\n  - not-an-id\n") ==
        std::vector<int>{3});
  CHECK(LinesOfProblems("authorized_delegates: [\"spiffe://example.org/x\"]\n") ==
        std::vector<int>{1});
  CHECK(LinesOfProblems("sds:\n  default_name: x\n") == std::vector<int>{2});
}
