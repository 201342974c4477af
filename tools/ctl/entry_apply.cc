#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/stable_sort.h"
#include "signet/entries/v1/entries.grpc.pb.h"
#include "tools/ctl/convert.h"
#include "tools/ctl/entry_files.h"

namespace signet::ctl {
namespace {

namespace api = signet::entries::v1;
namespace types = spire::api::types;
using Json = nlohmann::ordered_json;

constexpr std::string_view kServer = "signet-server";
constexpr Reason kNoOutcome{"the server's answer cannot be read"};
// A large set takes more than a call about one entry.
constexpr std::chrono::seconds kApplyTimeout{60};

enum class Action { kCreate, kUpdate, kDelete };

Action ActionOf(const api::EntryChange& change) {
  if (!change.has_before()) return Action::kCreate;
  return change.has_after() ? Action::kUpdate : Action::kDelete;
}

std::string_view NameOf(Action action) {
  switch (action) {
    case Action::kCreate:
      return "create";
    case Action::kUpdate:
      return "update";
    case Action::kDelete:
      break;
  }
  return "delete";
}

const types::Entry& Subject(const api::EntryChange& change) {
  return change.has_after() ? change.after() : change.before();
}

// The fields that differ: name, before, after.
std::vector<std::array<std::string, 3>> Differences(const api::EntryChange& change) {
  const auto before = FieldTexts(change.before());
  const auto after = FieldTexts(change.after());
  std::vector<std::array<std::string, 3>> different;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].second != after[i].second)
      different.push_back({before[i].first, before[i].second, after[i].second});
  }
  return different;
}

std::string ToText(const api::EntryChange& change) {
  constexpr std::string_view kMarks = "+~-";
  const Action action = ActionOf(change);
  std::string text =
      fmt::format("{} {} {}  {}\n", kMarks[static_cast<std::size_t>(action)], NameOf(action),
                  Subject(change).id(), IdText(Subject(change).spiffe_id()));
  if (action == Action::kDelete) return text;
  const auto shown = [](const std::string& value) { return value.empty() ? "(none)" : value; };
  for (const auto& [name, before, after] : Differences(change)) {
    if (action == Action::kUpdate) {
      text += fmt::format("    {}: {} -> {}\n", name, shown(before), shown(after));
    } else if (name != "spiffe_id") {
      text += fmt::format("    {}: {}\n", name, after);
    }
  }
  return text;
}

std::string Summary(const api::Applied& applied, const ApplyOptions& options) {
  std::array<int, 3> counts{};
  for (const auto& change : applied.changes()) ++counts[static_cast<std::size_t>(ActionOf(change))];
  std::string text = fmt::format("{} to create, {} to update, {} to delete, {} as they should be",
                                 counts[0], counts[1], counts[2], applied.unchanged());
  if (!options.plan)
    text = fmt::format("{} created, {} updated, {} deleted, {} as they were", counts[0], counts[1],
                       counts[2], applied.unchanged());
  text += fmt::format(" (owner {}, revision {})\n", options.owner, applied.revision());
  if (applied.not_named() > 0)
    text += fmt::format("{} of this owner in no file stay; --prune deletes them\n",
                        applied.not_named());
  if (options.plan) text += "a plan: nothing was changed\n";
  return text;
}

Json ToJson(const api::EntryChange& change) {
  const Action action = ActionOf(change);
  Json json{{"action", NameOf(action)}};
  if (change.has_before()) json["before"] = ctl::ToJson(change.before());
  if (change.has_after()) json["after"] = ctl::ToJson(change.after());
  if (action != Action::kUpdate) return json;
  json["fields"] = Json::array();
  for (const auto& [name, before, after] : Differences(change))
    json["fields"].push_back({{"name", name}, {"before", before}, {"after", after}});
  return json;
}

int PrintApplied(const Session& session, const api::Applied& applied, const ApplyOptions& options) {
  if (session.format == Format::kText) {
    for (const auto& change : applied.changes()) Print(ToText(change));
    Print(Summary(applied, options));
    return kOk;
  }
  Json changes = Json::array();
  for (const auto& change : applied.changes()) changes.push_back(ToJson(change));
  Print(Json{{"owner", options.owner},
             {"plan", options.plan},
             {"revision", applied.revision()},
             {"unchanged", applied.unchanged()},
             {"not_named", applied.not_named()},
             {"changes", std::move(changes)}}
            .dump(2) +
        "\n");
  return kOk;
}

int PrintProblems(const Session& session, const ConfigProblems& problems) {
  std::vector<ConfigProblem> sorted = problems.all();
  StableSortBy(sorted,
               [](const ConfigProblem& problem) { return std::pair(problem.file, problem.line); });
  ConfigProblems in_order;
  Json list = Json::array();
  for (ConfigProblem& problem : sorted) {
    list.push_back({{"file", problem.file},
                    {"line", problem.line},
                    {"message", problem.message},
                    {"hint", problem.hint}});
    in_order.Add(std::move(problem));
  }
  if (session.format == Format::kJson) Print(Json{{"problems", std::move(list)}}.dump(2) + "\n");
  std::fputs(fmt::format("{}signet: entry apply: {} {}; nothing was changed\n", in_order.Text(),
                         sorted.size(), sorted.size() == 1 ? "problem" : "problems")
                 .c_str(),
             stderr);
  return kUsage;
}

Result<api::ApplyResponse> Ask(const Session& session, const api::ApplyRequest& request) {
  Connection connection = session.server;
  connection.timeout = kApplyTimeout;
  SIGNET_TRY(const auto channel, OpenChannel(connection, kServer));
  api::ApplyResponse response;
  const auto status =
      api::Entries::NewStub(channel)->Apply(NewCall(connection).get(), request, &response);
  if (!status.ok()) return Fail(static_cast<Code>(status.error_code()), {}, status.error_message());
  if (response.outcome_case() == api::ApplyResponse::OUTCOME_NOT_SET)
    return Fail(Code::kInternal, kNoOutcome, "is signet older than signet-server?");
  return response;
}

}  // namespace

int ApplyEntries(const Session& session, const ApplyOptions& options) {
  EntryFiles files = ReadEntryFiles(options.files);
  const bool readable = files.problems.empty();
  api::ApplyRequest request;
  request.set_owner(options.owner);
  for (const FileEntry& one : files.entries) *request.add_entries() = one.entry;
  // Files with faults are asked about all the same, so that everything wrong with them is said at
  // once; as if pruning, since what could not be read might have been in another entry's way.
  request.set_plan_only(options.plan || !readable);
  request.set_prune(options.prune || !readable);
  auto answer = Ask(session, request);
  if (!answer && readable) return ReportError(answer.error(), "entry apply");
  if (answer) {
    for (const auto& problem : answer->refused().problems()) {
      const FileEntry& at = files.entries.at(problem.index());
      files.problems.Add({at.file, at.line, problem.text(), problem.hint()});
    }
  }
  if (!files.problems.empty()) return PrintProblems(session, files.problems);
  return PrintApplied(session, answer->applied(), options);
}

int ExportEntries(const Session& session, const ApplyOptions& options) {
  constexpr std::string_view kDoing = "entry export";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  const auto stub = api::Entries::NewStub(*channel);
  api::ListRequest request;
  request.set_owner(options.owner);
  std::vector<types::Entry> entries;
  do {
    api::ListResponse response;
    const auto status = stub->List(NewCall(session.server).get(), request, &response);
    if (!status.ok()) return ReportStatus(status, kDoing);
    for (auto& entry : *response.mutable_entries()) entries.push_back(std::move(entry));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const auto& entry : entries) list.push_back(ctl::ToJson(entry));
    Print(list.dump(2) + "\n");
  } else {
    Print(ToEntryFile(std::move(entries), options.owner));
  }
  return kOk;
}

}  // namespace signet::ctl
