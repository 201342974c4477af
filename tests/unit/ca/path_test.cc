#include "ca/x509/path.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_clock.h"
#include "tests/support/test_certificates.h"

namespace signet::ca {
namespace {

using test::CaSpec;
using test::CertificateSpec;
using test::LeafSpec;
using test::MakeCertificate;
using test::TestCertificate;

const WallTime kNow = FromUnixSeconds(test::FakeClock::kDefaultUnixSeconds);
constexpr char kUri[] = "spiffe://example.org/w";

std::vector<Certificate> Parse(const std::vector<TestCertificate>& made) {
  std::vector<Certificate> parsed;
  for (const TestCertificate& one : made) parsed.push_back(one.Parsed());
  return parsed;
}

Result<Chain> Build(const std::vector<TestCertificate>& presented,
                    const std::vector<TestCertificate>& anchors, WallTime now = kNow) {
  return BuildPath(Parse(presented), Parse(anchors), now);
}

void CheckRefused(const Result<Chain>& path, Reason reason) {
  REQUIRE_FALSE(path);
  CHECK(path.error().reason == reason);
  CHECK(path.error().code == Code::kUnauthenticated);
}

TEST_CASE("a leaf under an anchor has a path, and through an intermediate too") {
  const auto root = MakeCertificate(CaSpec("root"));
  const auto middle = MakeCertificate(CaSpec("middle"), &root);
  const auto leaf = MakeCertificate(LeafSpec(kUri), &middle);
  const auto path = Build({leaf, middle}, {root});
  REQUIRE(path);
  CHECK(*path == Parse({leaf, middle, root}));
  CHECK(Build({leaf, root, middle}, {root}).value() == *path);
  CHECK(Build({leaf}, {middle}).value().size() == 2);  // an anchor need not be self-signed
}

TEST_CASE("without anchors nothing is trusted, and without certificates nothing is presented") {
  const auto root = MakeCertificate(CaSpec("root"));
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &root)}, {}), kNoTrustAnchor);
  CheckRefused(Build({}, {root}), kPathInvalid);
}

TEST_CASE("a stranger's signature is no path, whatever names it bears") {
  const auto root = MakeCertificate(CaSpec("root"));
  const auto impostor = MakeCertificate(CaSpec("root"));
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &impostor)}, {root}), kPathUntrusted);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &impostor), impostor}, {root}),
               kPathUntrusted);
  const auto other = MakeCertificate(CaSpec("other"));
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &other)}, {root}), kPathUntrusted);
}

TEST_CASE("the right one of several anchors with one name is found") {
  std::vector<TestCertificate> roots;
  for (int i = 0; i < 6; ++i) roots.push_back(MakeCertificate(CaSpec("root")));
  CertificateSpec spec = LeafSpec(kUri);
  CHECK(Build({MakeCertificate(spec, &roots[5])}, roots));
  spec.authority_key_id = false;
  CHECK(Build({MakeCertificate(spec, &roots[5])}, roots));
}

TEST_CASE("both ends of the validity period belong to it, whole seconds long") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec spec = LeafSpec(kUri);
  spec.not_before = test::FakeClock::kDefaultUnixSeconds - 60;
  spec.not_after = test::FakeClock::kDefaultUnixSeconds + 60;
  const auto leaf = MakeCertificate(spec, &root);
  CHECK(Build({leaf}, {root}, FromUnixSeconds(spec.not_before)));
  CHECK(Build({leaf}, {root}, FromUnixSeconds(spec.not_after)));
  const auto almost_a_second = std::chrono::milliseconds(999);
  CHECK(Build({leaf}, {root}, FromUnixSeconds(spec.not_after) + almost_a_second));
  CheckRefused(Build({leaf}, {root}, FromUnixSeconds(spec.not_before - 1) + almost_a_second),
               kCertificateNotYetValid);
  CheckRefused(Build({leaf}, {root}, FromUnixSeconds(spec.not_before - 1)),
               kCertificateNotYetValid);
  CheckRefused(Build({leaf}, {root}, FromUnixSeconds(spec.not_after + 1)), kCertificateExpired);
}

TEST_CASE("an expired intermediate or anchor ends the path") {
  CertificateSpec expired = CaSpec("authority");
  expired.not_after = test::FakeClock::kDefaultUnixSeconds - 1;
  const auto root = MakeCertificate(CaSpec("root"));
  const auto middle = MakeCertificate(expired, &root);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &middle), middle}, {root}),
               kCertificateExpired);
  const auto old_root = MakeCertificate(expired);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &old_root)}, {old_root}),
               kCertificateExpired);
}

TEST_CASE("an expired anchor does not hide its successor with the same name and key") {
  CertificateSpec spec = CaSpec("root");
  const auto fresh = MakeCertificate(spec);
  spec.not_after = test::FakeClock::kDefaultUnixSeconds - 1;
  const auto expired = MakeCertificate(spec, nullptr, fresh.key);
  const auto leaf = MakeCertificate(LeafSpec(kUri), &fresh);
  CHECK(Build({leaf}, {expired, fresh}));
  CHECK(Build({leaf}, {fresh, expired}));
}

TEST_CASE("only certificates with cA and keyCertSign issue") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec spec = CaSpec("middle");
  SECTION("cA false") { spec.ca = false; }
  SECTION("no basicConstraints") { spec.ca.reset(); }
  SECTION("key usage without keyCertSign") { spec.key_usage = "critical,digitalSignature"; }
  const auto middle = MakeCertificate(spec, &root);
  const auto leaf = MakeCertificate(LeafSpec(kUri), &middle);
  CheckRefused(Build({leaf, middle}, {root}), kPathInvalid);
  CheckRefused(Build({leaf}, {middle}), kPathInvalid);  // nor as an anchor
}

TEST_CASE("a leaf among the anchors is trusted for nothing") {
  const auto root = MakeCertificate(CaSpec("root"));
  const auto leaf = MakeCertificate(LeafSpec(kUri), &root);
  CheckRefused(Build({leaf}, {leaf}), kPathUntrusted);
  const auto lonely = MakeCertificate(LeafSpec(kUri));
  CheckRefused(Build({lonely}, {lonely}), kPathUntrusted);
}

TEST_CASE("an authority without a name issues nothing") {
  const auto root = MakeCertificate(CaSpec(""));
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &root)}, {root}), kPathInvalid);
}

TEST_CASE("path length constraints count the certificates below that are not self-issued") {
  CertificateSpec limited = CaSpec("root");
  limited.path_length = 0;
  const auto root = MakeCertificate(limited);
  CHECK(Build({MakeCertificate(LeafSpec(kUri), &root)}, {root}));
  const auto middle = MakeCertificate(CaSpec("middle"), &root);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &middle), middle}, {root}), kPathInvalid);
  const auto rollover = MakeCertificate(CaSpec("root"), &root);  // self-issued
  CHECK(Build({MakeCertificate(LeafSpec(kUri), &rollover), rollover}, {root}));
}

TEST_CASE("a path has a greatest depth") {
  std::vector<TestCertificate> chain{MakeCertificate(CaSpec("0"))};
  for (int i = 1; i <= 9; ++i)
    chain.insert(chain.begin(), MakeCertificate(CaSpec(std::to_string(i)), &chain.front()));
  const auto root = chain.back();
  chain.pop_back();  // 9 intermediates remain: the depth allowed and one more
  std::vector<TestCertificate> eight(chain.begin() + 1, chain.end());
  eight.insert(eight.begin(), MakeCertificate(LeafSpec(kUri), &chain[1]));
  CHECK(Build(eight, {root}).value().size() == 10);
  chain.insert(chain.begin(), MakeCertificate(LeafSpec(kUri), &chain.front()));
  CheckRefused(Build(chain, {root}), kChainTooLong);
  chain.push_back(root);
  CheckRefused(Build(chain, {root}), kChainTooLong);  // eleven presented are not even read
  const auto middle = MakeCertificate(CaSpec("middle"), &root);
  const auto leaf = MakeCertificate(LeafSpec(kUri), &middle);
  CheckRefused(BuildPath(Parse({leaf, middle}), Parse({root}), kNow, PathPolicy{.max_depth = 0}),
               kChainTooLong);
}

TEST_CASE("self-issued authorities do not count towards the depth") {
  const auto root = MakeCertificate(CaSpec("root"));
  const auto middle = MakeCertificate(CaSpec("middle"), &root);
  const auto rollover = MakeCertificate(CaSpec("middle"), &middle);
  const auto leaf = MakeCertificate(LeafSpec(kUri), &rollover);
  const auto chain = Parse({leaf, rollover, middle});
  CHECK(BuildPath(chain, Parse({root}), kNow, PathPolicy{.max_depth = 1}));
  CheckRefused(BuildPath(chain, Parse({root}), kNow, PathPolicy{.max_depth = 0}), kChainTooLong);
}

TEST_CASE("many authorities with one name that lead nowhere cost a bounded number of checks") {
  std::vector<TestCertificate> chain;
  const auto stranger = MakeCertificate(CaSpec("loop"));
  CertificateSpec spec = CaSpec("loop");
  spec.authority_key_id = false;
  chain.push_back(MakeCertificate(LeafSpec(kUri), &stranger));
  for (int i = 0; i < 7; ++i) {
    spec.serial_hex = "0" + std::to_string(i + 1);
    chain.push_back(MakeCertificate(spec, &stranger, stranger.key));  // each signs each
  }
  const auto root = MakeCertificate(CaSpec("root"));
  CheckRefused(Build(chain, {root}), kPathUntrusted);
}

TEST_CASE("a dead end is left for another path") {
  const auto root = MakeCertificate(CaSpec("root"));
  const auto gone = MakeCertificate(CaSpec("gone"));
  const auto middle = MakeCertificate(CaSpec("middle"), &root);
  CertificateSpec spec = CaSpec("middle");
  spec.serial_hex = "77";
  const auto cross = MakeCertificate(spec, &gone, middle.key);
  const auto leaf = MakeCertificate(LeafSpec(kUri), &middle);
  CHECK(Build({leaf, cross, middle}, {root}));
  spec.not_after = test::FakeClock::kDefaultUnixSeconds - 1;
  const auto expired = MakeCertificate(spec, &root, middle.key);
  CHECK(Build({leaf, expired, middle}, {root}));
  spec = CaSpec("middle");
  spec.name_constraints = "critical,permitted;URI:other.org";
  const auto constrained = MakeCertificate(spec, &root, middle.key);
  CHECK(Build({leaf, constrained, middle}, {root}));
}

TEST_CASE("URI name constraints bind the host of every ID below") {
  const auto [constraint, uri, allowed] = GENERATE(table<std::string, std::string, bool>({
      {"critical,permitted;URI:example.org", "spiffe://example.org/w", true},
      {"critical,permitted;URI:example.org", "spiffe://a.example.org/w", false},
      {"critical,permitted;URI:example.org", "spiffe://notexample.org/w", false},
      {"critical,permitted;URI:.example.org", "spiffe://a.example.org/w", true},
      {"critical,permitted;URI:.example.org", "spiffe://example.org/w", false},
      {"critical,permitted;URI:.example.org", "spiffe://notexample.org/w", false},
      {"critical,excluded;URI:example.org", "spiffe://example.org/w", false},
      {"critical,excluded;URI:example.org", "spiffe://other.org/w", true},
      {"permitted;URI:other.org", "spiffe://example.org/w", false},
      {"critical,permitted;URI:my_td", "spiffe://my_td/w", true},
      {"critical,permitted;URI:1.2.3.4", "spiffe://1.2.3.4/w", true},
      {"critical,permitted;DNS:other.org", "spiffe://example.org/w", true},
  }));
  INFO(constraint << " over " << uri);
  CertificateSpec spec = CaSpec("middle");
  spec.name_constraints = constraint;
  const auto root = MakeCertificate(CaSpec("root"));
  const auto middle = MakeCertificate(spec, &root);
  const auto below = MakeCertificate(CaSpec("below"), &middle);
  const auto direct = MakeCertificate(LeafSpec(uri), &middle);
  const auto deeper = MakeCertificate(LeafSpec(uri), &below);
  const auto path = Build({direct, middle}, {root});
  CHECK(path.has_value() == allowed);
  if (!path) CHECK(path.error().reason == kPathInvalid);
  CHECK(Build({deeper, below, middle}, {root}).has_value() == allowed);
  CHECK(Build({direct}, {middle}).has_value() == allowed);  // an anchor's constraints bind too
}

TEST_CASE("where DNS names are constrained, none may mean more than it says") {
  const auto [constraint, name, allowed] = GENERATE(table<std::string, std::string, bool>({
      {"critical,permitted;DNS:example.org", "a.example.org", true},
      {"critical,permitted;DNS:example.org", "*.example.org", true},
      {"critical,permitted;DNS:a.example.org", "*.example.org", false},
      {"critical,permitted;DNS:example.org", ".example.org", false},
      {"critical,permitted;DNS:example.org", "a..example.org", false},
      {"critical,excluded;DNS:a.example.org", "b.example.org", true},
      {"critical,excluded;DNS:a.example.org", "a.example.org", false},
      {"critical,excluded;DNS:a.example.org", "a.example.org.", false},
      {"critical,excluded;DNS:a.example.org", "*.example.org", false},
      {"critical,excluded;DNS:A.Example.org", "*.exAMPLE.org", false},
      {"critical,excluded;DNS:.a.example.org", "*.example.org", false},
      {"critical,excluded;DNS:a.example.org", "*.b.example.org", true},
      {"critical,excluded;DNS:notexample.org", "*.example.org", true},
      {"critical,excluded;URI:other.org", "*.example.org", true},
      {"critical,excluded;URI:other.org", "a.example.org.", true},
  }));
  INFO(constraint << " over " << name);
  CertificateSpec constrained = CaSpec("root");
  constrained.name_constraints = constraint;
  const auto root = MakeCertificate(constrained);
  CertificateSpec spec = LeafSpec(kUri);
  spec.dns_sans = {name};
  const auto path = Build({MakeCertificate(spec, &root)}, {root});
  CHECK(path.has_value() == allowed);
  if (!path) CHECK(path.error().reason == kPathInvalid);
}

TEST_CASE("name constraints that constrain nothing are refused") {
  // NameConstraints of no member; of an empty list; of two; of one beside "excluded DNS:a".
  const std::string der = GENERATE("3000", "3002a000", "3004a000a100", "3009a000a1053003820161");
  CertificateSpec constrained = CaSpec("root");
  constrained.more_extensions = {{"2.5.29.30", "critical,DER:" + der}};
  const auto root = MakeCertificate(constrained);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &root)}, {root}), kPathInvalid);
}

TEST_CASE("name constraints in a leaf are refused, critical or not") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec spec = LeafSpec(kUri);
  spec.name_constraints =
      GENERATE("permitted;URI:example.org", "critical,permitted;URI:example.org");
  CheckRefused(Build({MakeCertificate(spec, &root)}, {root}), kPathInvalid);
}

TEST_CASE("a leaf has a subject or a critical alternative name") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec spec = LeafSpec(kUri);
  spec.common_name = "";
  CheckRefused(Build({MakeCertificate(spec, &root)}, {root}), kPathInvalid);
  spec.san_critical = true;
  CHECK(Build({MakeCertificate(spec, &root)}, {root}));
}

TEST_CASE("a common name is not held to DNS constraints") {
  CertificateSpec constrained = CaSpec("middle");
  constrained.name_constraints = "critical,permitted;DNS:other.org";
  const auto root = MakeCertificate(constrained);
  CertificateSpec spec = LeafSpec(kUri);
  spec.common_name = "www.example.org";
  CHECK(Build({MakeCertificate(spec, &root)}, {root}));
}

TEST_CASE(
    "a certificate with an unknown critical extension is refused on the path, not beside it") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec odd = CaSpec("odd");
  odd.more_extensions = {{"1.2.3.4", "critical,DER:0500"}};
  CertificateSpec odd_leaf = LeafSpec(kUri);
  odd_leaf.more_extensions = odd.more_extensions;
  CheckRefused(Build({MakeCertificate(odd_leaf, &root)}, {root}), kPathInvalid);
  const auto odd_middle = MakeCertificate(odd, &root);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &odd_middle), odd_middle}, {root}),
               kPathInvalid);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &odd_middle)}, {odd_middle}), kPathInvalid);
  CHECK(Build({MakeCertificate(LeafSpec(kUri), &root), odd_middle}, {root}));
  odd_leaf.more_extensions = {{"1.2.3.4", "DER:0500"}};
  CHECK(Build({MakeCertificate(odd_leaf, &root)}, {root}));
}

TEST_CASE("an explicit policy that is asked for must be there") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec spec = CaSpec("middle");
  spec.more_extensions = {{"policyConstraints", "critical,requireExplicitPolicy:0"},
                          {"certificatePolicies", "1.2.3.4"}};
  const auto middle = MakeCertificate(spec, &root);
  CertificateSpec leaf = LeafSpec(kUri);
  CheckRefused(Build({MakeCertificate(leaf, &middle), middle}, {root}), kPathInvalid);
  leaf.more_extensions = {{"certificatePolicies", "critical,1.2.3.4"}};
  const auto path = Build({MakeCertificate(leaf, &middle), middle}, {root});
  INFO((path ? "" : path.error().Message()));
  CHECK(path);
}

TEST_CASE("weak keys, unusual curves and broken digests are refused") {
  const auto root = MakeCertificate(CaSpec("root"));
  CertificateSpec spec = LeafSpec(kUri);
  SECTION("RSA below 2048 bits") { spec.key = "RSA-1024"; }
  SECTION("a curve of 112 bits") { spec.key = "P-224"; }
  SECTION("a curve that is not NIST's") { spec.key = "secp256k1"; }
  SECTION("a curve spelt out") { spec.key = "P-256 spelt out"; }
  SECTION("SHA-1") { spec.digest = "SHA1"; }
  SECTION("serial number zero") { spec.serial_hex = "0"; }
  CheckRefused(Build({MakeCertificate(spec, &root)}, {root}), kPathInvalid);
}

TEST_CASE("a weak authority is refused before its signature is checked") {
  CertificateSpec spec = CaSpec("root");
  spec.key = GENERATE("RSA-1024", "P-256 spelt out");
  const auto root = MakeCertificate(spec);
  CheckRefused(Build({MakeCertificate(LeafSpec(kUri), &root)}, {root}), kPathInvalid);
}

TEST_CASE("each usual kind of key makes a path") {
  const std::string kind = GENERATE("P-256", "P-384", "P-521", "RSA-2048", "ED25519");
  CertificateSpec spec = CaSpec("root");
  spec.key = kind;
  const auto root = MakeCertificate(spec);
  CertificateSpec leaf = LeafSpec(kUri);
  leaf.key = kind;
  CHECK(Build({MakeCertificate(leaf, &root)}, {root}));
}

}  // namespace
}  // namespace signet::ca
