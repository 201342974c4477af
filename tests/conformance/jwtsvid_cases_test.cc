#include <algorithm>
#include <catch2/catch.hpp>

#include "identity/svid/jwt_svid.h"
#include "tests/conformance/case_file.h"

namespace signet::identity {
namespace {

using nlohmann::json;
using test::CaseFile;
using test::RowAnswer;

BundleMap ReadBundles(const json& documents) {
  BundleMap bundles;
  for (const auto& [name, document] : documents.items()) {
    const auto trust_domain = TrustDomain::Parse(name);
    REQUIRE(trust_domain);
    const auto parsed = ParseSpiffeBundle(*trust_domain, document.dump());
    REQUIRE(parsed);
    bundles.emplace(*trust_domain, parsed->bundle);
  }
  return bundles;
}

// The rows are written for leeway 0.
Result<JwtSvid> Verify(const json& row, const BundleMap& bundles) {
  return ParseAndVerifyJwtSvid(
      row.at("token").get<std::string>(), bundles, row.at("audience").get<std::string>(),
      FromUnixSeconds(row.at("now").get<std::int64_t>()), Duration::zero());
}

TEST_CASE("every JWT-SVID case is answered as its row says") {
  CaseFile cases("jwtsvid_cases");
  const BundleMap bundles = ReadBundles(cases.document().at("bundles"));
  cases.RunSection("cases", test::RowId, [&](const json& row) {
    const auto svid = Verify(row, bundles);
    if (!svid) return RowAnswer{false, svid.error().Message(), ""};
    RowAnswer answer{true, "", ""};
    if (row.at("expected_id").is_string() && row["expected_id"] != svid->id.ToString())
      answer.difference = "the ID is " + svid->id.ToString();
    return answer;
  });
  cases.Finish();
}

TEST_CASE("private claims of a token made elsewhere survive its verification") {
  const CaseFile cases("jwtsvid_cases");
  const json& rows = cases.document().at("cases");
  const auto row = std::ranges::find(rows, "extra-claims", test::RowId);
  REQUIRE(row != rows.end());
  const auto svid = Verify(*row, ReadBundles(cases.document().at("bundles")));
  REQUIRE(svid);
  const std::string token = row->at("token").get<std::string>();
  const std::size_t first = token.find('.') + 1;
  const auto payload = DecodeBase64Url(token.substr(first, token.rfind('.') - first));
  CHECK(json::parse(svid->claims_json) == json::parse(payload.value()));
}

}  // namespace
}  // namespace signet::identity
