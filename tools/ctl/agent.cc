#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>

#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "tools/ctl/convert.h"

namespace signet::ctl {
namespace {

namespace api = spire::api::server::agent::v1;
constexpr std::string_view kServer = "signet-server";
constexpr int kPageSize = 500;
using Json = nlohmann::ordered_json;

template <class Filter>
void FillFilter(const AgentOptions& options, Filter* filter) {
  if (!options.attestation_type.empty()) filter->set_by_attestation_type(options.attestation_type);
  if (options.banned) filter->mutable_by_banned()->set_value(*options.banned);
}

std::string StateText(const spire::api::types::Agent& agent, std::int64_t now) {
  if (agent.banned()) return "banned";
  return agent.x509svid_expires_at() > now ? "attested" : "expired";
}

template <class Request>
int ChangeAgent(const Session& session, const AgentOptions& options, std::string_view doing,
                std::string_view done,
                grpc::Status (api::Agent::Stub::*call)(grpc::ClientContext*, const Request&,
                                                       google::protobuf::Empty*)) {
  Request request;
  if (auto set = SetId(options.id, request.mutable_id()); !set)
    return ReportError(set.error(), doing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), doing);
  google::protobuf::Empty nothing;
  const auto stub = api::Agent::NewStub(*channel);
  const auto status = ((*stub).*call)(NewCall(session.server).get(), request, &nothing);
  if (!status.ok()) return ReportStatus(status, doing);
  if (session.format == Format::kJson)
    Print(Json{{"id", options.id}, {"result", done}}.dump() + "\n");
  else
    Print(fmt::format("{} {}\n", done, options.id));
  return kOk;
}

// Page by page.
grpc::Status ForEachAgent(const Session& session, api::Agent::Stub& stub,
                          api::ListAgentsRequest request,
                          const std::function<void(const spire::api::types::Agent&)>& visit) {
  request.set_page_size(kPageSize);
  do {
    api::ListAgentsResponse response;
    const auto status = stub.ListAgents(NewCall(session.server).get(), request, &response);
    if (!status.ok()) return status;
    for (const auto& agent : response.agents()) visit(agent);
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return grpc::Status::OK;
}

}  // namespace

int CreateToken(const Session& session, const TokenOptions& options) {
  constexpr std::string_view kDoing = "token create";
  api::CreateJoinTokenRequest request;
  auto ttl = Seconds(options.ttl, "--ttl");
  if (!ttl) return ReportError(ttl.error(), kDoing);
  request.set_ttl(*ttl);
  if (!options.spiffe_id.empty())
    if (auto set = SetId(options.spiffe_id, request.mutable_agent_id()); !set)
      return ReportError(set.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  spire::api::types::JoinToken token;
  const auto status = api::Agent::NewStub(*channel)->CreateJoinToken(NewCall(session.server).get(),
                                                                     request, &token);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(Json{{"token", token.value()}, {"expires_at", token.expires_at()}}.dump(2) + "\n");
  else
    Print(token.value() + "\n");
  return kOk;
}

int ListAgents(const Session& session, const AgentOptions& filter) {
  constexpr std::string_view kDoing = "agent list";
  api::ListAgentsRequest request;
  FillFilter(filter, request.mutable_filter());
  const std::int64_t now = UnixSeconds(session.clock->Now());
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  const auto status = ForEachAgent(
      session, *api::Agent::NewStub(*channel), std::move(request),
      [&](const spire::api::types::Agent& agent) {
        list.push_back(ToJson(agent));
        rows.push_back({IdText(agent.id()), agent.attestation_type(), StateText(agent, now),
                        Relative(agent.x509svid_expires_at(), now)});
      });
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(list.dump(2) + "\n");
  else if (rows.empty())
    Print("no agents; make a token with `signet token create` and start signet-agent with it\n");
  else
    Print(Table({"SPIFFE ID", "ATTESTED BY", "STATE", "SVID EXPIRES"}, rows));
  return kOk;
}

int ShowAgent(const Session& session, const AgentOptions& options) {
  constexpr std::string_view kDoing = "agent show";
  api::GetAgentRequest request;
  if (auto set = SetId(options.id, request.mutable_id()); !set)
    return ReportError(set.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  spire::api::types::Agent agent;
  const auto status =
      api::Agent::NewStub(*channel)->GetAgent(NewCall(session.server).get(), request, &agent);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson) {
    Print(ToJson(agent).dump(2) + "\n");
    return kOk;
  }
  const std::int64_t now = UnixSeconds(session.clock->Now());
  const Json json = ToJson(agent);
  std::vector<std::string> selectors = json["selectors"];
  Print(Details({{"SPIFFE ID", IdText(agent.id())},
                 {"Attested by", agent.attestation_type()},
                 {"State", StateText(agent, now)},
                 {"Serial", agent.x509svid_serial_number()},
                 {"SVID expires", Relative(agent.x509svid_expires_at(), now)},
                 {"Selectors", fmt::format("{}", fmt::join(selectors, ", "))},
                 {"Re-attests", agent.can_reattest() ? "yes" : "no"},
                 {"Version", agent.agent_version()}}));
  return kOk;
}

int CountAgents(const Session& session, const AgentOptions& filter) {
  constexpr std::string_view kDoing = "agent count";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::CountAgentsRequest request;
  FillFilter(filter, request.mutable_filter());
  api::CountAgentsResponse response;
  const auto status =
      api::Agent::NewStub(*channel)->CountAgents(NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(Json{{"count", response.count()}}.dump() + "\n");
  else
    Print(std::to_string(response.count()) + "\n");
  return kOk;
}

int BanAgent(const Session& session, const AgentOptions& options) {
  return ChangeAgent<api::BanAgentRequest>(session, options, "agent ban", "banned",
                                           &api::Agent::Stub::BanAgent);
}

int EvictAgent(const Session& session, const AgentOptions& options) {
  return ChangeAgent<api::DeleteAgentRequest>(session, options, "agent evict", "evicted",
                                              &api::Agent::Stub::DeleteAgent);
}

int PurgeAgents(const Session& session, const PurgeOptions& options) {
  constexpr std::string_view kDoing = "agent purge";
  const auto expired_for = Seconds(options.expired_for, "--expired-for");
  if (!expired_for) return ReportError(expired_for.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  const auto stub = api::Agent::NewStub(*channel);
  api::ListAgentsRequest request;
  request.mutable_filter()->mutable_by_banned()->set_value(false);
  if (!options.include_tofu) request.mutable_filter()->mutable_by_can_reattest()->set_value(true);
  const std::int64_t before = UnixSeconds(session.clock->Now()) - *expired_for;
  std::vector<spire::api::types::SPIFFEID> expired;
  auto status = ForEachAgent(session, *stub, std::move(request), [&](const auto& agent) {
    if (agent.x509svid_expires_at() < before) expired.push_back(agent.id());
  });
  Json list = Json::array();
  for (std::size_t i = 0; status.ok() && i < expired.size(); ++i) {
    const std::string id = IdText(expired[i]);
    if (!options.dry_run) {
      api::DeleteAgentRequest removal;
      *removal.mutable_id() = expired[i];
      google::protobuf::Empty nothing;
      status = stub->DeleteAgent(NewCall(session.server).get(), removal, &nothing);
      if (!status.ok()) break;
    }
    list.push_back(Json{{"id", id}, {"result", options.dry_run ? "would be evicted" : "evicted"}});
    if (session.format != Format::kJson)
      Print(fmt::format("{} {}\n", options.dry_run ? "would evict" : "evicted", id));
  }
  if (session.format == Format::kJson) Print(list.dump(2) + "\n");
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format != Format::kJson && expired.empty())
    Print(fmt::format("no agent's SVID ended {} ago or earlier\n", options.expired_for));
  return kOk;
}

}  // namespace signet::ctl
