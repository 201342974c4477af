#include "identity/federation/bundle_endpoint.h"

#include <nlohmann/json.hpp>

#include "tests/support/test_pki.h"
#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using nlohmann::json;
using std::chrono::seconds;

struct World : RegistryFixture {
  World() { Change(300); }
  void Change(std::int64_t hint, bool tainted = false) {
    REQUIRE(registry->ChangeOwnBundle([&](Bundle& bundle) -> Status {
      bundle.x509_authorities = {{authority.certificate(), tainted}};
      bundle.jwt_authorities = {
          {"kid-1", ToBytes(authority.certificate().public_key().spki()), 1900000000, false},
          {"kid-2", ToBytes(rsa.certificate().public_key().spki()), 1900000000, false}};
      bundle.refresh_hint = hint;
      return {};
    }));
  }
  static test::CertificateOptions Rsa() {
    test::CertificateOptions options;
    options.uris = {"spiffe://example.org"};
    options.is_ca = true;
    options.rsa = true;
    return options;
  }

  test::TestAuthority authority{"spiffe://example.org"};
  test::TestAuthority rsa{Rsa()};
};

}  // namespace

TEST_CASE("the own bundle is published as it is now, with a tag of its content and its hint") {
  World world;
  BundleEndpoint endpoint(*world.registry, {.refresh_hint = seconds(60), .issuer = {}});
  const auto document = endpoint.DocumentAt("/");
  REQUIRE(document);
  CHECK(*document->body == FormatSpiffeBundle(*world.registry->OwnBundle()));
  CHECK(document->max_age == seconds(300));
  CHECK(document->etag.size() == 34);
  CHECK(endpoint.DocumentAt("/")->etag == document->etag);
  world.Change(0);
  const auto changed = endpoint.DocumentAt("/");
  CHECK(changed->etag != document->etag);
  CHECK(changed->max_age == seconds(60));
  CHECK(json::parse(*changed->body)["spiffe_refresh_hint"] == 60);
  CHECK(json::parse(*changed->body)["spiffe_sequence"] == 2);
  for (const char* path : {"", "/bundle", "/keys", "/.well-known/openid-configuration"})
    CHECK_FALSE(endpoint.DocumentAt(path));
}

TEST_CASE("an issuer's keys and where they are found are published for OpenID Connect") {
  World world;
  BundleEndpoint endpoint(*world.registry,
                          {.refresh_hint = seconds(60), .issuer = "https://oidc.example.org/td/"});
  const auto discovery = endpoint.DocumentAt("/.well-known/openid-configuration");
  REQUIRE(discovery);
  const auto described = json::parse(*discovery->body);
  CHECK(described["issuer"] == "https://oidc.example.org/td/");
  CHECK(described["jwks_uri"] == "https://oidc.example.org/td/keys");
  CHECK(described["id_token_signing_alg_values_supported"] == json::array({"ES256", "RS256"}));
  CHECK(described["subject_types_supported"] == json::array({"public"}));
  CHECK(described["response_types_supported"] == json::array({"id_token"}));
  const auto keys = json::parse(*endpoint.DocumentAt("/keys")->body)["keys"];
  REQUIRE(keys.size() == 2);
  CHECK(keys[0]["kid"] == "kid-1");
  CHECK(keys[0]["alg"] == "ES256");
  CHECK(keys[0]["use"] == "sig");
  CHECK_FALSE(keys[0].contains("x5c"));
  CHECK(keys[1]["kty"] == "RSA");
  CHECK(endpoint.DocumentAt("/"));
}

}  // namespace signet::identity
