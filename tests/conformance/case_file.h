// One file of verdict data and the run over it. Every row of every list of the file must be run,
// every verdict word must be known, and a row on which the standard is silent or libraries differ
// must have our answer, with a reason, in tests/data/cases/decisions.json: nothing is skipped
// silently.
//
// The rows, their verdicts and our answers are also written to <build>/tests/cases/<file>.tsv.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace signet::test {

// What the code under test said to a row, and what of it contradicts the row's other members.
struct RowAnswer {
  bool accepted = false;
  std::string detail;      // of a refusal, for the mapping
  std::string difference;  // "expected_id …": empty when all fits
};

class CaseFile {
 public:
  explicit CaseFile(std::string name);

  using RowRunner = std::function<RowAnswer(const nlohmann::json& row)>;
  using RowName = std::function<std::string(const nlohmann::json& row)>;

  // Runs each row of the list `section`; each is a check named by the row.
  void RunSection(const std::string& section, const RowName& name, const RowRunner& run);
  // Checks that no list of the file was left out and no decision was left over; writes the mapping.
  void Finish();

  const nlohmann::json& document() const { return document_; }

 private:
  bool ExpectedToAccept(const std::string& id, const nlohmann::json& row);

  std::string name_;
  nlohmann::json document_;
  nlohmann::json decisions_;  // row -> {"answer", "reason"}
  std::set<std::string> sections_run_;
  std::set<std::string> decisions_used_;
  std::vector<std::string> mapping_;
  std::size_t rows_run_ = 0;
};

std::string RowId(const nlohmann::json& row);  // its "id" member

}  // namespace signet::test
