#include "tools/ctl/cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::string EscapeXml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

std::string ToJunit(const std::string& path, const std::vector<CaseOutcome>& outcomes,
                    std::size_t failed) {
  std::string xml = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" "
      "failures=\"{}\">\n",
      EscapeXml(path), outcomes.size(), failed);
  for (const CaseOutcome& outcome : outcomes) {
    xml += fmt::format("  <testcase name=\"{}\" file=\"{}\" line=\"{}\"", EscapeXml(outcome.name),
                       EscapeXml(outcome.file), outcome.line);
    xml += outcome.failure.empty()
               ? "/>\n"
               : fmt::format("><failure message=\"{}\"/></testcase>\n", EscapeXml(outcome.failure));
  }
  return xml + "</testsuite>\n";
}

void PrintOutcomes(const Session& session, const std::vector<CaseOutcome>& outcomes,
                   std::size_t failed) {
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const CaseOutcome& outcome : outcomes)
      list.push_back({{"name", outcome.name},
                      {"file", outcome.file},
                      {"line", outcome.line},
                      {"passed", outcome.failure.empty()},
                      {"failure", outcome.failure}});
    return Print(
        Json{{"passed", outcomes.size() - failed}, {"failed", failed}, {"tests", list}}.dump(2) +
        "\n");
  }
  for (const CaseOutcome& outcome : outcomes)
    if (!outcome.failure.empty())
      Print(fmt::format("FAILED {}:{}: {}: {}\n", outcome.file, outcome.line, outcome.name,
                        outcome.failure));
  Print(fmt::format("{} passed, {} failed\n", outcomes.size() - failed, failed));
}

}  // namespace

int ReportProblems(const Session& session, const ConfigProblems& problems) {
  if (problems.empty()) return kOk;
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const ConfigProblem& p : problems.all())
      list.push_back(
          {{"file", p.file}, {"line", p.line}, {"message", p.message}, {"hint", p.hint}});
    Print(Json{{"problems", list}}.dump(2) + "\n");
  } else {
    fmt::print(stderr, "{}", problems.Text());
  }
  return kUsage;
}

int ReportCases(const Session& session, const std::string& path, const std::string& junit,
                const std::vector<CaseOutcome>& outcomes) {
  const auto failed = static_cast<std::size_t>(
      std::ranges::count_if(outcomes, [](const CaseOutcome& o) { return !o.failure.empty(); }));
  if (!junit.empty()) {
    const std::string xml = ToJunit(path, outcomes, failed);
    if (const Status written = WriteFileAtomically(junit, AsBytes(xml), 0644); !written)
      return ReportError(written.error(), "test");
  }
  PrintOutcomes(session, outcomes, failed);
  return failed == 0 && !outcomes.empty() ? kOk : kFailed;
}

Result<std::vector<std::pair<std::string, std::string>>> ReadPairs(
    const std::vector<std::string>& texts, char separator) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& text : texts) {
    const std::size_t at = text.find(separator);
    if (at == std::string::npos || at == 0)
      return Fail(Code::kInvalidArgument, Reason{"malformed option"},
                  fmt::format("'{}' has no name before '{}'", text, separator));
    std::size_t value = at + 1;
    while (value < text.size() && text[value] == ' ') ++value;
    pairs.emplace_back(text.substr(0, at), text.substr(value));
  }
  return pairs;
}

}  // namespace signet::ctl
