#include <catch2/catch.hpp>

#include "identity/bundle/bundle.h"
#include "tests/conformance/case_file.h"

namespace signet::identity {
namespace {

using nlohmann::json;
using test::CaseFile;
using test::RowAnswer;

constexpr std::size_t kManyCertificates = 100;

// WIT keys are of no use here yet, so `usable.wit` is not compared.
RowAnswer RunBundle(const json& row) {
  const auto parsed = ParseSpiffeBundle(TrustDomain::Parse("example.org").value(),
                                        row.at("body").get<std::string>());
  if (!parsed) return {false, parsed.error().Message(), ""};
  RowAnswer answer{true, "", ""};
  const std::string verdict = row.at("verdict").get<std::string>();
  const std::size_t x509 = parsed->bundle.x509_authorities.size();
  const std::size_t jwt = parsed->bundle.jwt_authorities.size();
  if (verdict == "ignore-entry" && parsed->skipped.empty())
    answer.difference += "nothing was left out; ";
  if (verdict == "accept-empty" && x509 + jwt != 0) answer.difference += "it is not empty; ";
  const json& usable = row.at("usable");
  const bool is_stated = usable.is_object() && verdict != "divergent";
  if (is_stated && (usable.at("x509") != x509 || usable.at("jwt") != jwt))
    answer.difference += std::to_string(x509) + " X.509 and " + std::to_string(jwt) + " JWT keys";
  return answer;
}

RowAnswer RunMap(const json& row) {
  const auto parsed = ParseBundleMap(row.at("body").get<std::string>());
  if (!parsed) return {false, parsed.error().Message(), ""};
  RowAnswer answer{true, "", ""};
  if (row.at("trust_domains").is_number() && row["trust_domains"] != parsed->size())
    answer.difference = std::to_string(parsed->size()) + " trust domains";
  return answer;
}

RowAnswer RunRaw(const json& row) {
  const auto bytes = DecodeBase64(row.at("data_b64").get<std::string>());
  if (!bytes) return {false, "", "data_b64 is not base64"};
  const std::string form = row.at("form").get<std::string>();
  if (form != "DER" && form != "PEM") return {false, "", "unknown form " + form};
  const auto parsed = form == "DER" ? ca::ParseConcatenatedDer(*bytes, kManyCertificates)
                                    : ca::ParsePem(AsText(*bytes), kManyCertificates);
  if (!parsed) return {false, parsed.error().Message(), ""};
  RowAnswer answer{true, "", ""};
  if (row.at("certs").is_number() && row["certs"] != parsed->size())
    answer.difference = std::to_string(parsed->size()) + " certificates";
  return answer;
}

TEST_CASE("every bundle case is answered as its row says") {
  CaseFile cases("bundle_cases");
  cases.RunSection("spiffe_bundles", test::RowId, RunBundle);
  cases.RunSection("bundle_maps", test::RowId, RunMap);
  cases.RunSection("x509_bundles_raw", test::RowId, RunRaw);
  cases.Finish();
}

}  // namespace
}  // namespace signet::identity
