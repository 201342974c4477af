#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "mesh/policy_file.h"
#include "tools/ctl/cases.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;
using mesh::PolicyFile;

constexpr std::size_t kMaxLogBytes = 256U << 20;
constexpr Reason kListenerUnknown{"no such listener"};
constexpr Reason kIdUnknown{"nothing in the file has this id"};

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
  std::vector<CaseOutcome> outcomes;
  for (const mesh::PolicyTest& test : file.tests)
    outcomes.push_back({test.name, test.file, test.line, mesh::RunTest(test, file)});
  return ReportCases(session, path, junit, outcomes);
}

int ExplainPolicy(const Session& session, const ExplainOptions& options) {
  ConfigProblems problems;
  const PolicyFile file = PolicyFile::Load(options.file, &problems);
  if (!problems.empty()) return ReportProblems(session, problems);
  return options.refusal_id.empty() ? ExplainRequest(session, options, file)
                                    : ExplainRefusal(session, options, file);
}

}  // namespace signet::ctl
