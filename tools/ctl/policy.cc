#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "mesh/policy_file.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;
using mesh::PolicyFile;

constexpr std::size_t kMaxLogBytes = 256U << 20;
constexpr Reason kListenerUnknown{"no such listener"};
constexpr Reason kIdUnknown{"nothing in the file has this id"};

// Prints the problems; kUsage when there are any.
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

struct Outcome {
  const mesh::PolicyTest* test;
  std::string failure;  // empty: it holds
};

std::string ToJunit(const std::string& path, const std::vector<Outcome>& outcomes,
                    std::size_t failed) {
  std::string xml = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" "
      "failures=\"{}\">\n",
      EscapeXml(path), outcomes.size(), failed);
  for (const Outcome& outcome : outcomes) {
    xml += fmt::format("  <testcase name=\"{}\" file=\"{}\" line=\"{}\"",
                       EscapeXml(outcome.test->name), EscapeXml(outcome.test->file),
                       outcome.test->line);
    xml += outcome.failure.empty()
               ? "/>\n"
               : fmt::format("><failure message=\"{}\"/></testcase>\n", EscapeXml(outcome.failure));
  }
  return xml + "</testsuite>\n";
}

void PrintOutcomes(const Session& session, const std::vector<Outcome>& outcomes,
                   std::size_t failed) {
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const Outcome& outcome : outcomes)
      list.push_back({{"name", outcome.test->name},
                      {"file", outcome.test->file},
                      {"line", outcome.test->line},
                      {"passed", outcome.failure.empty()},
                      {"failure", outcome.failure}});
    return Print(
        Json{{"passed", outcomes.size() - failed}, {"failed", failed}, {"tests", list}}.dump(2) +
        "\n");
  }
  for (const Outcome& outcome : outcomes)
    if (!outcome.failure.empty())
      Print(fmt::format("FAILED {}:{}: {}: {}\n", outcome.test->file, outcome.test->line,
                        outcome.test->name, outcome.failure));
  Print(fmt::format("{} passed, {} failed\n", outcomes.size() - failed, failed));
}

// The lines of the log that speak of this refusal.
Result<std::vector<std::string>> FindInLog(const std::string& path, const std::string& id) {
  SIGNET_TRY(const Bytes content, ReadFile(path, kMaxLogBytes));
  std::vector<std::string> lines;
  std::string_view rest = AsText(content);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.find(id) != std::string_view::npos) lines.emplace_back(line);
  }
  return lines;
}

int ExplainRefusal(const Session& session, const ExplainOptions& options, const PolicyFile& file) {
  constexpr std::string_view kDoing = "policy explain";
  const std::vector<std::string> meanings = mesh::ExplainId(options.refusal_id, file);
  std::vector<std::string> lines;
  if (!options.log.empty()) {
    auto found = FindInLog(options.log, options.refusal_id);
    if (!found) return ReportError(found.error(), kDoing);
    lines = *std::move(found);
  }
  if (meanings.empty() && lines.empty())
    return ReportError(
        {Code::kNotFound, kIdUnknown,
         options.refusal_id + "; was the rule changed or removed since, or is it another proxy's?"},
        kDoing);
  if (session.format == Format::kJson) {
    Print(Json{{"id", options.refusal_id}, {"meanings", meanings}, {"log", lines}}.dump(2) + "\n");
    return kOk;
  }
  for (const std::string& meaning : meanings) Print(meaning + "\n");
  for (const std::string& line : lines) Print(line + "\n");
  return kOk;
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

Result<mesh::WrittenRequest> ReadRequest(const ExplainOptions& options) {
  mesh::WrittenRequest request;
  SIGNET_TRY(request.caller, identity::SpiffeId::Parse(options.caller));
  if (!options.source.empty()) {
    SIGNET_TRY(request.source, mesh::IpAddress::Parse(options.source));
  }
  request.port = options.port;
  request.method = options.method;
  request.path = options.path;
  request.host = options.host;
  request.grpc = options.grpc;
  SIGNET_TRY(request.headers, ReadPairs(options.headers, ':'));
  SIGNET_TRY(request.claims, ReadPairs(options.claims, '='));
  return request;
}

Json PlaceOf(const mesh::PolicyRule* rule) {
  if (rule == nullptr) return nullptr;
  return {{"name", rule->name}, {"id", rule->id}, {"file", rule->file}, {"line", rule->line}};
}

int ExplainRequest(const Session& session, const ExplainOptions& options, const PolicyFile& file) {
  constexpr std::string_view kDoing = "policy explain";
  const auto request = ReadRequest(options);
  if (!request) return ReportError(request.error(), kDoing);
  const mesh::PolicyListener* listener = file.Find(options.listener);
  if (listener == nullptr)
    return ReportError(
        {Code::kInvalidArgument, kListenerUnknown,
         options.listener.empty() ? "there are several: give --listener" : options.listener},
        kDoing);
  const mesh::Decision decision = request->DecideBy(listener->policy);
  const std::string reason = decision.Reason(&request->caller);
  if (session.format == Format::kJson) {
    Json json = {{"listener", listener->name},
                 {"verdict", mesh::VerdictName(decision.verdict)},
                 {"reason", reason},
                 {"id", decision.id},
                 {"rule", PlaceOf(decision.rule)}};
    if (decision.shadow.differs)
      json["audit"] = {{"verdict", mesh::VerdictName(decision.shadow.verdict)},
                       {"rule", PlaceOf(decision.shadow.rule)}};
    Print(json.dump(2) + "\n");
    return kOk;
  }
  Print(fmt::format("{}: {} (id {})\n", mesh::VerdictName(decision.verdict), reason, decision.id));
  if (decision.shadow.differs)
    Print(fmt::format(
        "with the audit rules: {}{}\n", mesh::VerdictName(decision.shadow.verdict),
        decision.shadow.rule != nullptr
            ? fmt::format(" by {} ({})", decision.shadow.rule->name, decision.shadow.rule->Place())
            : ""));
  return kOk;
}

}  // namespace

int CheckPolicy(const Session& session, const std::string& path) {
  ConfigProblems problems;
  const PolicyFile file = PolicyFile::Load(path, &problems);
  if (!problems.empty()) return ReportProblems(session, problems);
  std::size_t rules = 0;
  Json listeners = Json::array();
  for (const mesh::PolicyListener& listener : file.listeners) {
    rules += listener.policy.rules().size();
    listeners.push_back({{"name", listener.name}, {"rules", listener.policy.rules().size()}});
  }
  if (session.format == Format::kJson)
    Print(Json{{"problems", Json::array()}, {"listeners", listeners}}.dump(2) + "\n");
  else
    Print(fmt::format("{} rules of {} listeners, {} tests: no problem\n", rules,
                      file.listeners.size(), file.tests.size()));
  return kOk;
}

int TestPolicy(const Session& session, const std::string& path, const std::string& junit) {
  ConfigProblems problems;
  const PolicyFile file = PolicyFile::Load(path, &problems);
  if (!problems.empty()) return ReportProblems(session, problems);
  std::vector<Outcome> outcomes;
  for (const mesh::PolicyTest& test : file.tests)
    outcomes.push_back({&test, mesh::RunTest(test, file)});
  const auto failed = static_cast<std::size_t>(
      std::ranges::count_if(outcomes, [](const Outcome& o) { return !o.failure.empty(); }));
  if (!junit.empty()) {
    const std::string xml = ToJunit(path, outcomes, failed);
    if (const Status written = WriteFileAtomically(junit, AsBytes(xml), 0644); !written)
      return ReportError(written.error(), "policy test");
  }
  PrintOutcomes(session, outcomes, failed);
  // A run of no tests proves nothing.
  return failed == 0 && !outcomes.empty() ? kOk : kFailed;
}

int ExplainPolicy(const Session& session, const ExplainOptions& options) {
  ConfigProblems problems;
  const PolicyFile file = PolicyFile::Load(options.file, &problems);
  if (!problems.empty()) return ReportProblems(session, problems);
  return options.refusal_id.empty() ? ExplainRequest(session, options, file)
                                    : ExplainRefusal(session, options, file);
}

}  // namespace signet::ctl
