#include "identity/svid/x509_svid.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"
#include "tests/support/test_certificates.h"

namespace signet::identity {
namespace {

using test::CaSpec;
using test::CertificateSpec;
using test::LeafSpec;
using test::MakeCertificate;
using test::TestCertificate;

const WallTime kNow = FromUnixSeconds(test::FakeClock::kDefaultUnixSeconds);

Result<SpiffeId> Read(const CertificateSpec& spec) {
  return ParseX509Svid(MakeCertificate(spec).Parsed());
}

Bundle BundleOf(std::string_view trust_domain, const std::vector<TestCertificate>& roots) {
  Bundle bundle;
  bundle.trust_domain = TrustDomain::Parse(trust_domain).value();
  for (const TestCertificate& root : roots) bundle.x509_authorities.push_back({root.Parsed()});
  return bundle;
}

BundleMap Bundles(const std::vector<Bundle>& bundles) {
  BundleMap map;
  for (const Bundle& bundle : bundles) map.emplace(bundle.trust_domain, bundle);
  return map;
}

TEST_CASE("an X.509-SVID's ID is read from its one URI SAN") {
  CertificateSpec spec = LeafSpec("spiffe://example.org/workload");
  CHECK(Read(spec).value().ToString() == "spiffe://example.org/workload");
  spec.dns_sans = {"a.example.org"};
  spec.extended_key_usage.clear();
  CHECK(Read(spec));
}

TEST_CASE("a leaf that breaks a rule of X509-SVID is refused and the rule is named") {
  CertificateSpec spec = LeafSpec("spiffe://example.org/workload");
  std::string rule;
  SECTION("no URI SAN") {
    spec.uri_sans.clear();
    rule = "0 URI SANs";
  }
  SECTION("a second URI SAN of whatever scheme") {
    spec.uri_sans.emplace_back("https://example.org");
    rule = "2 URI SANs";
  }
  SECTION("a root path") {
    spec.uri_sans = {"spiffe://example.org"};
    rule = "trust domain itself";
  }
  SECTION("cA true") {
    spec.ca = true;
    rule = "cA true";
  }
  SECTION("no key usage") {
    spec.key_usage.clear();
    rule = "keyUsage is missing";
  }
  SECTION("keyCertSign") {
    spec.key_usage = "critical,digitalSignature,keyCertSign";
    rule = "keyCertSign";
  }
  SECTION("cRLSign") {
    spec.key_usage = "critical,digitalSignature,cRLSign";
    rule = "cRLSign";
  }
  SECTION("no digitalSignature") {
    spec.key_usage = "critical,keyAgreement";
    rule = "digitalSignature";
  }
  SECTION("one purpose only") {
    spec.extended_key_usage = "clientAuth";
    rule = "extKeyUsage";
  }
  SECTION("empty subject and SAN not critical") {
    spec.common_name.clear();
    rule = "empty subject";
  }
  const auto id = Read(spec);
  REQUIRE_FALSE(id);
  CHECK(id.error().reason == kSvidMalformed);
  CHECK_THAT(id.error().detail, Catch::Contains(rule));
}

TEST_CASE("a URI SAN that is no SPIFFE ID is refused as such") {
  for (const std::string& uri :
       {std::string("https://example.org/w"), std::string("spiffe://example.org/w/"),
        std::string("spiffe://example.org/w\0", 23), std::string("spiffe://Example.org/w")}) {
    const auto id = Read(LeafSpec(uri));
    REQUIRE_FALSE(id);
    CHECK(id.error().reason == kSpiffeIdMalformed);
  }
}

TEST_CASE("an empty subject is fine when the SAN is critical") {
  CertificateSpec spec = LeafSpec("spiffe://example.org/workload");
  spec.common_name.clear();
  spec.san_critical = true;
  CHECK(Read(spec));
}

TEST_CASE("a verified SVID tells its ID, its path and when the first certificate of it ends") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec short_lived = CaSpec("middle");
  short_lived.not_after = test::FakeClock::kDefaultUnixSeconds + 100;
  const auto middle = MakeCertificate(short_lived, &root);
  const auto leaf = MakeCertificate(LeafSpec("spiffe://example.org/w"), &middle);
  const std::vector presented{leaf.Parsed(), middle.Parsed()};
  const auto verified = VerifyX509Svid(presented, Bundles({BundleOf("example.org", {root})}), kNow);
  REQUIRE(verified);
  CHECK(verified->id.ToString() == "spiffe://example.org/w");
  CHECK(verified->path.size() == 3);
  CHECK(verified->valid_until == FromUnixSeconds(short_lived.not_after));
}

TEST_CASE("the bundle of the leaf's own trust domain counts and no other") {
  const auto ours = MakeCertificate(CaSpec("ours"));
  const auto theirs = MakeCertificate(CaSpec("theirs"));
  const BundleMap bundles =
      Bundles({BundleOf("ours.org", {ours}), BundleOf("theirs.org", {theirs})});
  const auto verify = [&](std::string uri, const TestCertificate& issuer) {
    const std::vector presented{MakeCertificate(LeafSpec(std::move(uri)), &issuer).Parsed()};
    return VerifyX509Svid(presented, bundles, kNow);
  };
  CHECK(verify("spiffe://ours.org/w", ours));
  CHECK(verify("spiffe://theirs.org/w", theirs));
  CHECK(verify("spiffe://ours.org/w", theirs).error().reason == ca::kPathUntrusted);
  CHECK(verify("spiffe://theirs.org/w", ours).error().reason == ca::kPathUntrusted);
  CHECK(verify("spiffe://third.org/w", ours).error().reason == kNoBundleForTrustDomain);
}

TEST_CASE("an empty bundle trusts nothing and an empty chain proves nothing") {
  const auto root = MakeCertificate(CaSpec("root"));
  const std::vector presented{MakeCertificate(LeafSpec("spiffe://example.org/w"), &root).Parsed()};
  CHECK(VerifyX509Svid(presented, Bundles({BundleOf("example.org", {})}), kNow).error().reason ==
        ca::kNoTrustAnchor);
  CHECK(VerifyX509Svid({}, Bundles({BundleOf("example.org", {root})}), kNow).error().reason ==
        kSvidMalformed);
}

TEST_CASE("a tainted authority still verifies, since only removal revokes") {
  const auto root = MakeCertificate(CaSpec("root"));
  Bundle bundle = BundleOf("example.org", {root});
  bundle.x509_authorities[0].tainted = true;
  const std::vector presented{MakeCertificate(LeafSpec("spiffe://example.org/w"), &root).Parsed()};
  CHECK(VerifyX509Svid(presented, Bundles({bundle}), kNow));
}

}  // namespace
}  // namespace signet::identity
