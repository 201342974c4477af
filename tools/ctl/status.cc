#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "signet/status/v1/status.grpc.pb.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {
namespace {

namespace api = signet::status::v1;
constexpr std::string_view kServer = "signet-server";
using Json = nlohmann::ordered_json;

Json ToJson(const api::Authority& a) {
  return {
      {"id", a.id()},
      {"type", a.type()},
      {"state", a.state()},
      {"not_before", a.not_before()},
      {"not_after", a.not_after()},
      {"tainted", a.tainted()},
      {"acknowledged", a.acknowledged()},
      {"live_agents", a.live_agents()},
      {"waiting_for", std::vector<std::string>(a.waiting_for().begin(), a.waiting_for().end())}};
}

Result<api::GetStatusResponse> Fetch(const Session& session) {
  SIGNET_TRY(const auto channel, OpenChannel(session.server, kServer));
  api::GetStatusResponse response;
  const auto status =
      api::Status::NewStub(channel)->GetStatus(NewCall(session.server).get(), {}, &response);
  if (!status.ok()) return Fail(static_cast<Code>(status.error_code()), {}, status.error_message());
  return response;
}

std::string AuthorityTable(const api::GetStatusResponse& response, std::int64_t now) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& a : response.authorities())
    rows.push_back({a.type(), a.state() + (a.tainted() ? ", tainted" : ""), a.id(),
                    Relative(a.not_after(), now),
                    fmt::format("{}/{}", a.acknowledged(), a.live_agents()),
                    fmt::format("{}", fmt::join(a.waiting_for(), " "))});
  return Table({"KIND", "STATE", "AUTHORITY", "EXPIRES", "AGENTS HOLDING IT", "WAITING FOR"}, rows);
}

}  // namespace

int ShowAuthorities(const Session& session) {
  auto response = Fetch(session);
  if (!response) return ReportError(response.error(), "authority show");
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const auto& a : response->authorities()) list.push_back(ToJson(a));
    Print(list.dump(2) + "\n");
  } else {
    Print(AuthorityTable(*response, UnixSeconds(session.clock->Now())));
  }
  return kOk;
}

int ShowStatus(const Session& session) {
  auto response = Fetch(session);
  if (!response) return ReportError(response.error(), "status");
  const std::vector<std::string> problems(response->problems().begin(), response->problems().end());
  if (session.format == Format::kJson) {
    Json json{{"trust_domain", response->trust_domain()},
              {"version", response->version()},
              {"started_at", response->started_at()},
              {"revision", response->revision()},
              {"entries", response->entries()},
              {"agents", response->agents()},
              {"connected_agents", response->connected_agents()},
              {"healthy", response->healthy()},
              {"problems", problems}};
    json["authorities"] = Json::array();
    for (const auto& a : response->authorities()) json["authorities"].push_back(ToJson(a));
    Print(json.dump(2) + "\n");
  } else {
    const std::int64_t now = UnixSeconds(session.clock->Now());
    Print(Details(
        {{"Trust domain", response->trust_domain()},
         {"Health", response->healthy() ? "good" : fmt::format("{}", fmt::join(problems, "; "))},
         {"Version", response->version()},
         {"Started", Relative(response->started_at(), now)},
         {"Revision", std::to_string(response->revision())},
         {"Entries", std::to_string(response->entries())},
         {"Agents",
          fmt::format("{} ({} connected)", response->agents(), response->connected_agents())}}));
    Print("\n" + AuthorityTable(*response, now));
  }
  return response->healthy() ? kOk : kFailed;
}

}  // namespace signet::ctl
