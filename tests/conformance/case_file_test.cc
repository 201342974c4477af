#include "tests/conformance/case_file.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

namespace signet::test {
namespace {

using nlohmann::json;

const std::string kCases = SIGNET_TEST_DATA "/cases/";

json ReadJson(const std::string& path) {
  std::ifstream stream(path);
  REQUIRE(stream.good());
  return json::parse(stream);
}

// Verdicts that state the answer.
const std::set<std::string> kAccepting{"accept", "accept-empty", "accept-as-id-form",
                                       "ignore-entry"};
const std::set<std::string> kRefusing{"reject", "reject-document"};
// Verdicts that leave it to us.
const std::set<std::string> kOurs{"divergent", "policy-reject", "issuer-must-not",
                                  "issuer-should-not"};

}  // namespace

std::string RowId(const json& row) { return row.at("id").get<std::string>(); }

CaseFile::CaseFile(std::string name)
    : name_(std::move(name)),
      document_(ReadJson(kCases + name_ + ".json")),
      decisions_(ReadJson(kCases + "decisions.json").value(name_, json::object())) {}

bool CaseFile::ExpectedToAccept(const std::string& id, const json& row) {
  const std::string verdict = row.at("verdict").get<std::string>();
  if (kAccepting.contains(verdict)) return true;
  if (kRefusing.contains(verdict)) return false;
  INFO("verdict " << verdict);
  REQUIRE(kOurs.contains(verdict));
  REQUIRE(decisions_.contains(id));
  const json& decision = decisions_[id];
  REQUIRE_FALSE(decision.at("reason").get<std::string>().empty());
  const std::string answer = decision.at("answer").get<std::string>();
  REQUIRE((answer == "accept" || answer == "reject"));
  decisions_used_.insert(id);
  return answer == "accept";
}

void CaseFile::RunSection(const std::string& section, const RowName& name, const RowRunner& run) {
  const json& rows = document_.at(section);
  REQUIRE(rows.is_array());
  for (const json& row : rows) {
    const std::string id = name(row);
    INFO(name_ << " " << section << ": " << id);
    const bool expected = ExpectedToAccept(id, row);
    const RowAnswer answer = run(row);
    INFO(answer.detail);
    CHECK(answer.accepted == expected);
    CHECK(answer.difference == "");
    ++rows_run_;
    mapping_.push_back(section + "\t" + json(id).dump() + "\t" +
                       row.at("verdict").get<std::string>() + "\t" +
                       (answer.accepted ? "accepted" : "refused: " + answer.detail));
  }
  sections_run_.insert(section);
}

void CaseFile::Finish() {
  std::size_t rows_in_file = 0;
  for (const auto& [section, rows] : document_.items()) {
    if (!rows.is_array()) continue;
    INFO("section " << section << " has no runner");
    CHECK(sections_run_.contains(section));
    rows_in_file += rows.size();
  }
  CHECK(rows_run_ == rows_in_file);
  CHECK(rows_run_ > 0);
  for (const auto& [id, decision] : decisions_.items()) {
    INFO("decision without a row: " << id);
    CHECK(decisions_used_.contains(id));
  }
  const std::filesystem::path folder =
      std::filesystem::path(SIGNET_BIN).parent_path() / "tests/cases";
  std::filesystem::create_directories(folder);
  std::ofstream stream(folder / (name_ + ".tsv"));
  for (const std::string& line : mapping_) stream << line << '\n';
  CHECK(stream.good());
}

}  // namespace signet::test
