#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "signet/node/v1/node.grpc.pb.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/node_text.h"

namespace signet::ctl {
namespace {

namespace api = signet::node::v1;
constexpr std::string_view kDoing = "agent status";
using Json = nlohmann::ordered_json;

const char* NameOf(api::GetStatusResponse::Health health) {
  switch (health) {
    case api::GetStatusResponse::GOOD:
      return "good";
    case api::GetStatusResponse::WARNING:
      return "warning";
    case api::GetStatusResponse::FAILING:
      return "failing";
    default:
      return "unknown";
  }
}

Json SvidsToJson(const api::Svids& svids) {
  Json json{{"fresh", svids.fresh()},
            {"late", svids.late()},
            {"lost", svids.lost()},
            {"missing", svids.missing()},
            {"without_room", svids.without_room()},
            {"on_demand", svids.on_demand()},
            {"soonest_end_at", svids.soonest_end_at()},
            {"listed", Json::array()}};
  for (const api::Svid& svid : svids.listed())
    json["listed"].push_back({{"entry_id", svid.entry_id()},
                              {"spiffe_id", svid.spiffe_id()},
                              {"state", svid.state()},
                              {"ends_at", svid.ends_at()},
                              {"renewal_at", svid.renewal_at()},
                              {"failures", svid.failures()}});
  return json;
}

std::string SvidSummary(const api::Svids& svids) {
  std::vector<std::string> parts;
  const auto add = [&](std::uint32_t count, std::string_view what) {
    if (count > 0) parts.push_back(fmt::format("{} {}", count, what));
  };
  add(svids.fresh(), "fresh");
  add(svids.late(), "late");
  add(svids.lost(), "expired unrenewed");
  add(svids.missing(), "missing");
  add(svids.without_room(), "without room");
  add(svids.on_demand(), "on demand");
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string SvidTable(const api::Svids& svids, std::int64_t now) {
  std::vector<std::vector<std::string>> rows;
  for (const api::Svid& svid : svids.listed())
    rows.push_back({svid.spiffe_id(), svid.state(),
                    svid.ends_at() == 0 ? "-" : Relative(svid.ends_at(), now),
                    svid.renewal_at() == 0 ? "-" : Relative(svid.renewal_at(), now),
                    std::to_string(svid.failures()), svid.entry_id()});
  return Table({"SPIFFE ID", "STATE", "ENDS", "RENEWAL", "FAILURES", "ENTRY"}, rows);
}

std::string CallerTable(const api::GetStatusResponse& status) {
  std::vector<std::vector<std::string>> rows;
  for (const api::Caller& caller : status.callers())
    rows.push_back({std::to_string(caller.pid()), std::to_string(caller.uid()),
                    std::to_string(caller.gid()), caller.socket(),
                    std::to_string(caller.connections()), std::to_string(caller.streams())});
  return Table({"PID", "UID", "GID", "SOCKET", "CONNECTIONS", "STREAMS"}, rows);
}

std::string AttestorSummary(const api::GetStatusResponse& status) {
  std::vector<std::string> names;
  for (const api::Attestor& attestor : status.attestors())
    names.push_back(attestor.failures() == 0
                        ? attestor.name()
                        : fmt::format("{} (failing: {})", attestor.name(), attestor.error()));
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::string NodeStatusJson(const api::GetStatusResponse& status) {
  Json json{{"health", NameOf(status.health())},
            {"problems", Json::array()},
            {"trust_domain", status.trust_domain()},
            {"agent_id", status.agent_id()},
            {"agent_svid_ends_at", status.agent_svid_ends_at()},
            {"version", status.version()},
            {"started_at", status.started_at()},
            {"sync",
             {{"server", status.sync().server()},
              {"mode", status.sync().mode()},
              {"revision", status.sync().revision()},
              {"heard_at", status.sync().heard_at()},
              {"entries", status.sync().entries()}}},
            {"svids", SvidsToJson(status.svids())},
            {"bundles", std::vector<std::string>(status.bundles().begin(), status.bundles().end())},
            {"jwt_svids", status.jwt_svids()},
            {"connections", status.connections()},
            {"callers", Json::array()},
            {"attestors", Json::array()}};
  for (const api::Problem& problem : status.problems())
    json["problems"].push_back({{"health", NameOf(problem.health())}, {"text", problem.text()}});
  for (const api::Caller& caller : status.callers())
    json["callers"].push_back({{"pid", caller.pid()},
                               {"uid", caller.uid()},
                               {"gid", caller.gid()},
                               {"socket", caller.socket()},
                               {"connections", caller.connections()},
                               {"streams", caller.streams()}});
  for (const api::Attestor& attestor : status.attestors())
    json["attestors"].push_back({{"name", attestor.name()},
                                 {"failures", attestor.failures()},
                                 {"error", attestor.error()}});
  return json.dump(2) + "\n";
}

std::string NodeStatusText(const api::GetStatusResponse& status, std::int64_t now) {
  const api::Sync& sync = status.sync();
  std::string text = Details(
      {{"Trust domain", status.trust_domain()},
       {"Agent", status.agent_id().empty() ? "not attested" : status.agent_id()},
       {"Its SVID ends",
        status.agent_id().empty() ? "" : Relative(status.agent_svid_ends_at(), now)},
       {"Health", NameOf(status.health())},
       {"Version", status.version()},
       {"Started", Relative(status.started_at(), now)},
       {"Server", fmt::format("{} ({})", sync.server(), sync.mode())},
       {"Last heard",
        sync.heard_at() == 0 ? "not since the start" : Relative(sync.heard_at(), now)},
       {"Revision",
        sync.revision() == 0 ? "the server counts none" : std::to_string(sync.revision())},
       {"Entries", std::to_string(sync.entries())},
       {"X.509-SVIDs", SvidSummary(status.svids())},
       {"Soonest end",
        status.svids().soonest_end_at() == 0 ? "" : Relative(status.svids().soonest_end_at(), now)},
       {"JWT-SVIDs", std::to_string(status.jwt_svids())},
       {"Bundles", fmt::format("{}", fmt::join(status.bundles(), ", "))},
       {"Attestors", AttestorSummary(status)},
       {"Connections", std::to_string(status.connections())}});
  for (const api::Problem& problem : status.problems())
    text += fmt::format("\n{}: {}", NameOf(problem.health()), problem.text());
  if (status.problems_size() > 0) text += "\n";
  if (status.svids().listed_size() > 0) text += "\n" + SvidTable(status.svids(), now);
  if (status.callers_size() > 0) text += "\n" + CallerTable(status);
  return text;
}

int ShowNodeStatus(const Session& session, const std::string& admin_socket) {
  Connection agent = session.server;
  agent.socket = admin_socket;
  const auto channel = OpenChannel(agent, "signet-agent");
  if (!channel) return ReportError(channel.error(), kDoing);
  api::GetStatusResponse response;
  const auto status = api::Node::NewStub(*channel)->GetStatus(NewCall(agent).get(), {}, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  Print(session.format == Format::kJson
            ? NodeStatusJson(response)
            : NodeStatusText(response, UnixSeconds(session.clock->Now())));
  return response.health() == api::GetStatusResponse::FAILING ||
                 response.health() == api::GetStatusResponse::UNKNOWN
             ? kFailed
             : kOk;
}

}  // namespace signet::ctl
