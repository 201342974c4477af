#include <catch2/catch.hpp>

#include "identity/server/config.h"

namespace signet::identity {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const std::string kHead = "trust_domain: example.org\ndata_dir: /var/lib/x\n";

FederationConfig MustParse(const std::string& text) {
  ConfigProblems problems;
  auto config = ParseServerConfig(kHead + text, "server.yaml", &problems);
  INFO(problems.Text());
  REQUIRE(problems.empty());
  return config.federation;
}

// The lines with problems.
std::vector<int> ProblemLines(const std::string& text) {
  ConfigProblems problems;
  ParseServerConfig(kHead + text, "server.yaml", &problems);
  INFO(problems.Text());
  std::vector<int> lines;
  for (const auto& problem : problems.all()) lines.push_back(problem.line);
  return lines;
}

std::string Endpoint(const std::string& lines) {
  return "federation:\n  bundle_endpoint:\n" + lines;
}
std::string Peer(const std::string& more) {
  return "federation:\n  federates_with:\n    - trust_domain: one.test\n"
         "      bundle_endpoint_url: https://one.test:8443/\n" +
         more;
}
using Lines = std::vector<int>;

}  // namespace

TEST_CASE("without a federation section nothing is published and nobody federated with") {
  const auto config = MustParse("");
  CHECK_FALSE(config.endpoint);
  CHECK(config.settings.relationships.empty());
  CHECK(config.settings.allowed_networks.empty());
  CHECK(config.settings.web_roots == "/etc/ssl/certs/ca-certificates.crt");
}

TEST_CASE("a bundle endpoint is read with either profile") {
  const auto spiffe = MustParse(Endpoint("    profile: https_spiffe\n")).endpoint;
  REQUIRE(spiffe);
  CHECK(spiffe->listen.ToString() == "0.0.0.0:8443");
  CHECK(spiffe->profile == EndpointProfile::kHttpsSpiffe);
  CHECK(spiffe->documents.refresh_hint == minutes(5));
  CHECK(spiffe->documents.issuer.empty());
  const auto web = MustParse("jwt_issuer: https://oidc.example.org\n" +
                             Endpoint("    listen: 127.0.0.1:0\n    profile: https_web\n"
                                      "    cert_file: /c\n    key_file: /k\n"
                                      "    refresh_hint: 90s\n    oidc_discovery: true\n"))
                       .endpoint;
  REQUIRE(web);
  CHECK(web->certificate_file == "/c");
  CHECK(web->key_file == "/k");
  CHECK(web->documents.refresh_hint == seconds(90));
  CHECK(web->documents.issuer == "https://oidc.example.org");
}

TEST_CASE("an endpoint that cannot be is refused with its line") {
  CHECK(ProblemLines(Endpoint("    listen: 0.0.0.0:1\n")) == Lines{5, 5});  // and no certificate
  CHECK(ProblemLines(Endpoint("    profile: https\n    cert_file: /c\n    key_file: /k\n")) ==
        Lines{5});
  CHECK(ProblemLines(Endpoint("    profile: https_web\n    cert_file: /c\n")) == Lines{5});
  CHECK(ProblemLines(Endpoint("    profile: https_spiffe\n    key_file: /k\n")) == Lines{5});
  CHECK(ProblemLines(Endpoint("    profile: https_spiffe\n    listen: unix:/x\n")) == Lines{6});
  CHECK(ProblemLines(Endpoint("    profile: https_spiffe\n    oidc_discovery: true\n")) ==
        Lines{6});
  CHECK(ProblemLines("jwt_issuer: me\n" +
                     Endpoint("    profile: https_spiffe\n    oidc_discovery: true\n")) ==
        Lines{7});
}

TEST_CASE("relationships of the configuration are read whole") {
  const auto config = MustParse(
      Peer("      profile: https_spiffe\n      endpoint_spiffe_id: spiffe://one.test/spire/server\n"
           "      bundle_file: /etc/one.json\n      bundle_sha256: '" +
           std::string(64, 'a') +
           "'\n    - trust_domain: two.test\n      bundle_endpoint_url: https://two.test/\n"
           "      profile: https_web\n  web_roots_file: /roots.pem\n"
           "  allowed_networks: [127.0.0.0/8]\n"));
  REQUIRE(config.settings.relationships.size() == 2);
  const auto& one = config.settings.relationships[0];
  CHECK(one.relationship.trust_domain.name() == "one.test");
  CHECK(one.relationship.url.port() == 8443);
  CHECK(one.relationship.profile == EndpointProfile::kHttpsSpiffe);
  CHECK(one.relationship.endpoint_id.ToString() == "spiffe://one.test/spire/server");
  CHECK(one.bundle_file == "/etc/one.json");
  REQUIRE(one.pin);
  CHECK((*one.pin)[31] == 0xaa);
  CHECK(config.settings.relationships[1].relationship.profile == EndpointProfile::kHttpsWeb);
  CHECK(config.settings.web_roots == "/roots.pem");
  CHECK(config.settings.allowed_networks.size() == 1);
}

TEST_CASE("a relationship that cannot be is refused with its line") {
  CHECK(ProblemLines(Peer("      profile: https_spiffe\n")) == Lines{5});  // no endpoint ID
  CHECK(ProblemLines(Peer("      profile: https_spiffe\n      endpoint_spiffe_id: one\n")) ==
        Lines{8});
  CHECK(ProblemLines(Peer("      profile: https_web\n      endpoint_spiffe_id: spiffe://a/b\n")) ==
        Lines{8});
  CHECK(ProblemLines(Peer("      profile: https_web\n      bundle_sha256: '" +
                          std::string(64, 'a') + "'\n")) == Lines{8});
  CHECK(ProblemLines(Peer("      profile: https_web\n      bundle_sha256: abc\n")) == Lines{8});
  CHECK(ProblemLines(Peer("      profile: https_web\n    - trust_domain: one.test\n"
                          "      bundle_endpoint_url: https://x/\n      profile: https_web\n")) ==
        Lines{8});
  CHECK(ProblemLines("federation:\n  federates_with:\n    - trust_domain: example.org\n"
                     "      bundle_endpoint_url: http://x/\n      profile: https_web\n") ==
        Lines{5, 6});
  CHECK(ProblemLines("federation:\n  allowed_networks: [localhost]\n") == Lines{4});
  CHECK(ProblemLines("federation:\n  no_such: 1\n") == Lines{4});
}

}  // namespace signet::identity
