#include "identity/bundle/bundle.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/support/test_certificates.h"

namespace signet::identity {
namespace {

using nlohmann::json;

TrustDomain Domain() { return TrustDomain::Parse("example.org").value(); }

ca::Certificate MakeRoot(const std::string& key = "P-256") {
  test::CertificateSpec spec = test::CaSpec("root");
  spec.key = key;
  return test::MakeCertificate(spec).Parsed();
}

Bundle MakeBundle() {
  Bundle bundle;
  bundle.trust_domain = Domain();
  for (const std::string key : {"P-256", "RSA-2048", "ED25519"})
    bundle.x509_authorities.push_back({MakeRoot(key)});
  for (const std::string key : {"P-256", "P-384", "P-521", "RSA-2048"})
    bundle.jwt_authorities.push_back({key, ToBytes(MakeRoot(key).public_key().spki())});
  bundle.sequence_number = 18446744073709551615U;
  bundle.refresh_hint = 300;
  return bundle;
}

// One X.509 element and one JWT element of a bundle of ours, to be spoilt.
json X509Element() {
  Bundle bundle;
  bundle.x509_authorities.push_back({MakeRoot()});
  return json::parse(FormatSpiffeBundle(bundle))["keys"][0];
}
json JwtElement(const std::string& key = "P-256") {
  Bundle bundle;
  bundle.jwt_authorities.push_back({"k1", ToBytes(MakeRoot(key).public_key().spki())});
  return json::parse(FormatSpiffeBundle(bundle))["keys"][0];
}
Result<ParsedBundle> ParseKeys(const std::vector<json>& keys) {
  return ParseSpiffeBundle(Domain(), json{{"keys", keys}}.dump());
}

void CheckSkipped(const json& element, const std::string& because) {
  const auto parsed = ParseKeys({X509Element(), element, JwtElement()});
  REQUIRE(parsed);
  CHECK(parsed->bundle.x509_authorities.size() == 1);
  CHECK(parsed->bundle.jwt_authorities.size() == 1);
  REQUIRE(parsed->skipped.size() == 1);
  CHECK_THAT(parsed->skipped[0], Catch::Contains("keys[1]"));
  CHECK_THAT(parsed->skipped[0], Catch::Contains(because));
}

TEST_CASE("a bundle survives the way to JSON and back") {
  const Bundle bundle = MakeBundle();
  const auto parsed = ParseSpiffeBundle(Domain(), FormatSpiffeBundle(bundle));
  REQUIRE(parsed);
  CHECK(parsed->bundle == bundle);
  CHECK(parsed->skipped.empty());
}

TEST_CASE("what is published is what the strictest reader takes") {
  Bundle bundle = MakeBundle();
  const json document = json::parse(FormatSpiffeBundle(bundle));
  CHECK(document["spiffe_sequence"] == 18446744073709551615U);
  CHECK(document["spiffe_refresh_hint"] == 300);
  REQUIRE(document["keys"].size() == 7);
  for (const json& key : document["keys"]) {
    CHECK(key.contains("kty"));
    CHECK_FALSE(key.contains("d"));
    if (key["use"] == "x509-svid") {
      CHECK(key["x5c"].size() == 1);
      CHECK_FALSE(key.contains("kid"));
    } else {
      CHECK(key["use"] == "jwt-svid");
      CHECK(key.contains("kid"));
      CHECK_FALSE(key.contains("x5c"));
    }
  }
  bundle.sequence_number = 0;
  bundle.refresh_hint = 0;
  const json bare = json::parse(FormatSpiffeBundle(bundle));
  CHECK_FALSE(bare.contains("spiffe_sequence"));
  CHECK_FALSE(bare.contains("spiffe_refresh_hint"));
}

TEST_CASE("an empty bundle is published with an empty list of keys") {
  CHECK(FormatSpiffeBundle(Bundle{}) == R"({"keys":[]})");
  CHECK(FormatJwtBundle(Bundle{}) == R"({"keys":[]})");
}

TEST_CASE("the JWT form holds the JWT keys alone, without use") {
  const json document = json::parse(FormatJwtBundle(MakeBundle()));
  REQUIRE(document["keys"].size() == 4);
  for (const json& key : document["keys"]) {
    CHECK_FALSE(key.contains("x5c"));
    CHECK_FALSE(key.contains("use"));
    CHECK(key.contains("kid"));
  }
  CHECK(document.size() == 1);
}

TEST_CASE("a kid that is no UTF-8 does not break the document") {
  Bundle bundle;
  bundle.jwt_authorities.push_back({"\xFF\"", ToBytes(MakeRoot().public_key().spki())});
  CHECK(json::accept(FormatSpiffeBundle(bundle)));
}

TEST_CASE("a document that is not a bundle is refused and revokes nothing") {
  const auto text = GENERATE(
      as<std::string>(), "", "{}", R"({"keys":null})", R"({"keys":{}})", "[]",
      R"({"keys":[],"keys":[]})", R"({"keys":[{"a":1,"a":2}]})",
      R"({"keys":[],"spiffe_sequence":"1"})", R"({"keys":[],"spiffe_sequence":1.0})",
      R"({"keys":[],"spiffe_sequence":-1})",
      R"({"keys":[],"spiffe_sequence":18446744073709551616})",
      R"({"keys":[],"spiffe_refresh_hint":0.5})", R"({"keys":[],"spiffe_refresh_hint":"5"})");
  INFO(text);
  const auto parsed = ParseSpiffeBundle(Domain(), text);
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().reason == kBundleMalformed);
}

TEST_CASE("an empty list of keys is a bundle, and it trusts nothing") {
  const auto parsed = ParseSpiffeBundle(Domain(), R"({"keys":[]})");
  REQUIRE(parsed);
  CHECK(parsed->bundle.X509Roots().empty());
  CHECK(parsed->bundle.trust_domain == Domain());
}

TEST_CASE("a refresh hint that means nothing is as absent and a vast one is cut") {
  const auto hint = [](const std::string& value) {
    return ParseSpiffeBundle(Domain(), R"({"keys":[],"spiffe_refresh_hint":)" + value + "}")
        .value();
  };
  CHECK(hint("60").bundle.refresh_hint == 60);
  CHECK(hint("null").bundle.refresh_hint == 0);
  CHECK(hint("-5").bundle.refresh_hint == 0);
  CHECK(hint("-5").skipped.size() == 1);
  CHECK(hint("18446744073709551615").bundle.refresh_hint == 0x7FFFFFFF);
}

TEST_CASE("an element that cannot be used is left out and named, the others stay") {
  json element = JwtElement();
  element["kid"] = "k2";
  SECTION("not an object") { CheckSkipped(7, "not an object"); }
  SECTION("use missing") {
    element.erase("use");
    CheckSkipped(element, "use is missing");
  }
  SECTION("use unknown") {
    element["use"] = "sig";
    CheckSkipped(element, "'sig' is unknown");
  }
  SECTION("use in another case") {
    element["use"] = "JWT-SVID";
    CheckSkipped(element, "unknown");
  }
  SECTION("kty unknown") {
    element["kty"] = "AKP";
    CheckSkipped(element, "kty");
  }
  SECTION("kty in another case") {
    element["kty"] = "ec";
    CheckSkipped(element, "kty");
  }
  SECTION("kid missing") {
    element.erase("kid");
    CheckSkipped(element, "kid");
  }
  SECTION("kid no text") {
    element["kid"] = 7;
    CheckSkipped(element, "kid");
  }
  SECTION("private key") {
    element["d"] = "AAAA";
    CheckSkipped(element, "private");
  }
  SECTION("Ed25519 for JWTs") {
    element = JwtElement("ED25519");
    element["kid"] = "k2";
    CheckSkipped(element, "OKP");
  }
  SECTION("RSA of 1024 bits") {
    element = JwtElement("RSA-1024");
    element["kid"] = "k2";
    CheckSkipped(element, "RSA modulus");
  }
}

TEST_CASE("an X.509 element without a usable authority is left out") {
  json element = X509Element();
  SECTION("no x5c") {
    element.erase("x5c");
    CheckSkipped(element, "x5c is missing");
  }
  SECTION("empty x5c") {
    element["x5c"] = json::array();
    CheckSkipped(element, "empty");
  }
  SECTION("x5c not a list") {
    element["x5c"] = element["x5c"][0];
    CheckSkipped(element, "x5c");
  }
  SECTION("x5c base64url") {
    element["x5c"][0] = EncodeBase64Url(MakeRoot("RSA-2048").der());
    CheckSkipped(element, "base64");
  }
  SECTION("x5c of another key") {
    element["x5c"][0] = EncodeBase64(MakeRoot().der());
    CheckSkipped(element, "another key");
  }
  SECTION("bytes after the certificate") {
    Bytes der = DecodeBase64(element["x5c"][0].get<std::string>()).value();
    der.push_back(0);
    element["x5c"][0] = EncodeBase64(der);
    CheckSkipped(element, "DER");
  }
  SECTION("a leaf in place of an authority") {
    const auto leaf = test::MakeCertificate(test::LeafSpec("spiffe://example.org/w")).Parsed();
    Bundle bundle;
    bundle.x509_authorities.push_back({leaf});
    CheckSkipped(json::parse(FormatSpiffeBundle(bundle))["keys"][0], "no authority");
  }
}

TEST_CASE("of several x5c values the first counts and the others are not even read") {
  json element = X509Element();
  element["x5c"].push_back("not a certificate");
  CHECK(ParseKeys({element})->bundle.x509_authorities.size() == 1);
}

TEST_CASE("an authority listed twice is one, and of keys with one kid the first counts") {
  const json element = X509Element();
  CHECK(ParseKeys({element, element})->bundle.x509_authorities.size() == 1);
  const json first = JwtElement();
  const auto parsed = ParseKeys({first, JwtElement()});
  REQUIRE(parsed);
  REQUIRE(parsed->bundle.jwt_authorities.size() == 1);
  CHECK(parsed->skipped.size() == 1);
  CHECK(parsed->bundle.jwt_authorities == ParseKeys({first})->bundle.jwt_authorities);
}

TEST_CASE("a bundle has at most 1024 keys") {
  CHECK(ParseKeys(std::vector<json>(1024, json::object())));
  CHECK_FALSE(ParseKeys(std::vector<json>(1025, json::object())));
}

TEST_CASE("a bundle map is read by trust domain name") {
  const json bundle = json::parse(FormatSpiffeBundle(MakeBundle()));
  const auto map = ParseBundleMap(
      json{{"trust_domains", {{"a.org", bundle}, {"b.org", {{"keys", json::array()}}}}}}.dump());
  REQUIRE(map);
  REQUIRE(map->size() == 2);
  const Bundle& first = map->at(TrustDomain::Parse("a.org").value()).bundle;
  CHECK(first.trust_domain.name() == "a.org");
  CHECK(first.x509_authorities.size() == 3);
  CHECK(first.refresh_hint == 0);  // an inner hint says nothing about the map
  CHECK(ParseBundleMap(R"({"trust_domains":{}})").value().empty());
}

TEST_CASE("a bundle map that names a trust domain twice or wrongly is refused whole") {
  const auto text = GENERATE(
      as<std::string>(), "{}", "[]", R"({"trust_domains":null})", R"({"trust_domains":[]})",
      R"({"trust_domains":{"a":{"keys":[]},"a":{"keys":[]}}})",
      R"({"trust_domains":{"a":{"keys":[]},"\u0061":{"keys":[]}}})",
      R"({"trust_domains":{"A":{"keys":[]}}})", R"({"trust_domains":{"spiffe://a":{"keys":[]}}})",
      R"({"trust_domains":{"a":{}}})", R"({"trust_domains":{"a":null}})");
  INFO(text);
  const auto map = ParseBundleMap(text);
  REQUIRE_FALSE(map);
  CHECK(map.error().reason == kBundleMalformed);
}

}  // namespace
}  // namespace signet::identity
