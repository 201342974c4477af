#include <catch2/catch.hpp>
#include <ctime>

#include "identity/svid/x509_svid.h"
#include "tests/conformance/case_file.h"

namespace signet::identity {
namespace {

using nlohmann::json;
using test::CaseFile;
using test::RowAnswer;

WallTime ReadTime(const std::string& text) {
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  REQUIRE((end != nullptr && *end == '\0'));
  return FromUnixSeconds(timegm(&parts));
}

Result<std::vector<ca::Certificate>> ReadCertificates(const json& pems) {
  std::vector<ca::Certificate> certificates;
  for (const json& pem : pems) {
    SIGNET_TRY(auto parsed, ca::ParsePem(pem.get<std::string>(), 16));
    certificates.insert(certificates.end(), parsed.begin(), parsed.end());
  }
  return certificates;
}

Result<VerifiedSvid> Verify(const json& row) {
  BundleMap bundles;
  for (const auto& [name, pems] : row.at("bundles").items()) {
    SIGNET_TRY(const TrustDomain trust_domain, TrustDomain::Parse(name));
    SIGNET_TRY(const auto roots, ReadCertificates(pems));
    Bundle bundle;
    bundle.trust_domain = trust_domain;
    for (const ca::Certificate& root : roots) bundle.x509_authorities.push_back({root});
    bundles.emplace(trust_domain, std::move(bundle));
  }
  SIGNET_TRY(const auto presented, ReadCertificates(row.at("chain")));
  return VerifyX509Svid(presented, bundles, ReadTime(row.at("now").get<std::string>()));
}

RowAnswer RunRow(const json& row) {
  const auto verified = Verify(row);
  if (!verified) return {false, verified.error().Message(), ""};
  RowAnswer answer{true, "", ""};
  if (row.at("expected_id").is_string() && row["expected_id"] != verified->id.ToString())
    answer.difference = "the ID is " + verified->id.ToString();
  return answer;
}

TEST_CASE("every X.509-SVID case is answered as its row says") {
  CaseFile cases("x509svid_cases");
  cases.RunSection("cases", test::RowId, RunRow);
  cases.Finish();
}

}  // namespace
}  // namespace signet::identity
