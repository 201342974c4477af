#include "identity/api/agent_service.h"

#include <google/protobuf/empty.pb.h>

#include "identity/api/acknowledgements.h"
#include "identity/api/convert.h"
#include "identity/api/reattest.h"
#include "identity/api/rpc_status.h"
#include "identity/attest/join_token_attestor.h"

namespace signet::identity {
namespace {

namespace agent = spire::api::server::agent::v1;
namespace types = spire::api::types;
using google::protobuf::Empty;

constexpr std::size_t kMaxTokenBytes = 1024;
constexpr std::size_t kMaxVersionBytes = 255;

tl::unexpected<Error> Invalid(std::string detail) {
  return Fail(Code::kInvalidArgument, kFieldInvalid, std::move(detail));
}

std::string Path(std::string_view name) {
  return "/spire.api.server.agent.v1.Agent/" + std::string(name);
}

Selector IdSelector(const SpiffeId& agent_id) { return {"spiffe_id", agent_id.ToString()}; }

}  // namespace

AgentService::AgentService(const Parts& parts, const AttestAgent::Settings& settings)
    : registry_(parts.registry),
      issuer_(parts.issuer),
      acknowledgements_(parts.acknowledgements),
      clock_(parts.clock),
      random_(parts.random),
      log_(parts.log),
      attest_({parts.registry, parts.issuer, parts.attestors, parts.clock, parts.log}, settings) {}

void AgentService::Register(Router* router) {
  RegisterForAdmins(router);
  RegisterForAgents(router);
}

void AgentService::RegisterForAdmins(Router* router) {
  const auto empty = [](Status status) -> Result<Empty> {
    if (!status) return Fail(std::move(status).error());
    return Empty();
  };
  router->AddUnary(
      Path("CountAgents"),
      Unary<agent::CountAgentsRequest, agent::CountAgentsResponse>(
          [this](const Caller&,
                 const agent::CountAgentsRequest& request) -> Result<agent::CountAgentsResponse> {
            // The two filters have the same fields.
            ListRequest::Filter filter;
            filter.ParseFromString(request.filter().SerializeAsString());
            SIGNET_TRY(auto parsed, FilterFromProto(filter));
            agent::CountAgentsResponse response;
            response.set_count(static_cast<int>(registry_.CountNodes(parsed)));
            return response;
          }));
  router->AddUnary(Path("ListAgents"), Unary<ListRequest, ListResponse>(
                                           [this](const Caller&, const ListRequest& request) {
                                             return List(request);
                                           }));
  router->AddUnary(
      Path("GetAgent"),
      Unary<agent::GetAgentRequest, types::Agent>(
          [this](const Caller&, const agent::GetAgentRequest& request) -> Result<types::Agent> {
            SIGNET_TRY(auto node, Find(request.has_id() ? &request.id() : nullptr));
            types::Agent response;
            WriteAgent(*node,
                       MaskFromProto(request.has_output_mask() ? &request.output_mask() : nullptr),
                       &response);
            return response;
          }));
  router->AddUnary(
      Path("DeleteAgent"),
      Unary<agent::DeleteAgentRequest, Empty>(
          [this, empty](const Caller& caller, const agent::DeleteAgentRequest& request) {
            return empty(Delete(caller, request.has_id() ? &request.id() : nullptr));
          }));
  router->AddUnary(Path("BanAgent"),
                   Unary<agent::BanAgentRequest, Empty>(
                       [this, empty](const Caller& caller, const agent::BanAgentRequest& request) {
                         return empty(Ban(caller, request.has_id() ? &request.id() : nullptr));
                       }));
  router->AddUnary(Path("CreateJoinToken"),
                   Unary<agent::CreateJoinTokenRequest, types::JoinToken>(
                       [this](const Caller& caller, const agent::CreateJoinTokenRequest& request) {
                         return CreateJoinToken(caller, request);
                       }));
}

void AgentService::RegisterForAgents(Router* router) {
  attest_.Register(router);
  router->AddUnary(
      Path("RenewAgent"),
      Unary<agent::RenewAgentRequest, agent::RenewAgentResponse>(
          [this](const Caller& caller,
                 const agent::RenewAgentRequest& request) -> Result<agent::RenewAgentResponse> {
            SIGNET_TRY(auto svid, Renew(caller, request));
            agent::RenewAgentResponse response;
            *response.mutable_svid() = std::move(svid);
            return response;
          }));
  router->AddUnary(
      Path("PostStatus"),
      Unary<agent::PostStatusRequest, agent::PostStatusResponse>(
          [this](const Caller& caller,
                 const agent::PostStatusRequest& request) -> Result<agent::PostStatusResponse> {
            SIGNET_RETURN_IF_ERROR(PostStatus(caller, request));
            return agent::PostStatusResponse();
          }));
}

Result<AgentService::ListResponse> AgentService::List(const ListRequest& request) const {
  SIGNET_TRY(auto filter, FilterFromProto(request.filter()));
  const auto mask = MaskFromProto(request.has_output_mask() ? &request.output_mask() : nullptr);
  const auto size = static_cast<std::size_t>(std::max(request.page_size(), 0));
  auto page = registry_.ListNodes(filter, size, size == 0 ? std::string() : request.page_token());
  if (!page) {
    // INTERNAL as SPIRE answers it.
    return Fail(InContext("failed to list agents", Code::kInternal, page.error()));
  }
  ListResponse response;
  for (const auto& node : page->items) WriteAgent(*node, mask, response.add_agents());
  response.set_next_page_token(page->next);
  return response;
}

Result<NodePtr> AgentService::Find(const types::SPIFFEID* proto) const {
  if (proto == nullptr) return Invalid("invalid agent ID: request must specify SPIFFE ID");
  SIGNET_TRY(auto id, AgentIdFromProto(*proto, registry_.trust_domain(), "invalid agent ID"));
  auto node = registry_.FindNode(id);
  if (!node) return Fail(Code::kNotFound, kAgentNotFound);
  return node;
}

Status AgentService::Ban(const Caller& caller, const types::SPIFFEID* proto) {
  SIGNET_TRY(auto node, Find(proto));
  SIGNET_RETURN_IF_ERROR(registry_.BanNode(node->id, caller.AsActor()));
  log_.Info("agent banned", {{"agent", node->id.ToString()}, {"by", caller.Name()}});
  return {};
}

Status AgentService::Delete(const Caller& caller, const types::SPIFFEID* proto) {
  SIGNET_TRY(auto node, Find(proto));
  SIGNET_RETURN_IF_ERROR(registry_.DeleteNode(node->id, caller.AsActor()));
  log_.Info("agent deleted", {{"agent", node->id.ToString()}, {"by", caller.Name()}});
  return {};
}

Result<types::JoinToken> AgentService::CreateJoinToken(
    const Caller& caller, const agent::CreateJoinTokenRequest& request) {
  if (request.ttl() <= 0) return Invalid("ttl is required, you must provide one");
  if (request.token().size() > kMaxTokenBytes)
    return Invalid("token: longer than " + std::to_string(kMaxTokenBytes) + " bytes");
  std::optional<SpiffeId> alias;
  if (request.has_agent_id()) {
    SIGNET_TRY(alias, WorkloadIdFromProto(request.agent_id(), registry_.trust_domain(),
                                          "invalid agent ID"));
  }
  types::JoinToken response;
  response.set_value(request.token().empty() ? random_.Uuid() : request.token());
  response.set_expires_at(UnixSeconds(clock_.Now()) + request.ttl());
  auto added = registry_.AddJoinToken({.digest = JoinTokenDigest(response.value()),
                                       .expires_at = response.expires_at(),
                                       .agent_path = alias ? alias->path() : std::string()},
                                      caller.AsActor());
  if (!added) {
    // A value that is taken is INTERNAL, as SPIRE answers it.
    const auto code =
        added.error().code == Code::kAlreadyExists ? Code::kInternal : added.error().code;
    return Fail(InContext("failed to create token", code, added.error()));
  }
  if (alias) {
    SIGNET_TRY(auto agent_id, JoinTokenAgentId(registry_.trust_domain(), response.value()));
    SIGNET_RETURN_IF_ERROR(CreateAlias(caller, agent_id, *alias));
  }
  return response;
}

Status AgentService::CreateAlias(const Caller& caller, const SpiffeId& agent_id,
                                 const SpiffeId& alias) {
  Entry entry;
  entry.spiffe_id = alias;
  entry.parent_id = agent_id;
  entry.selectors = {IdSelector(agent_id)};
  const auto outcomes = registry_.CreateEntries({std::move(entry)}, caller.AsActor());
  const auto& status = outcomes.front().status;
  if (status || status.error().code == Code::kAlreadyExists) return {};
  return Fail(InContext("failed to create join token registration entry", status.error().code,
                        status.error()));
}

Result<types::X509SVID> AgentService::Renew(const Caller& caller,
                                            const agent::RenewAgentRequest& request) {
  if (!request.has_params()) return Invalid("params cannot be nil");
  if (request.params().csr().empty()) return Invalid("missing CSR");
  if (const auto node = registry_.FindNode(caller.id); node && node->can_reattest)
    return Fail(Code::kPermissionDenied, kReattestInstead);
  SIGNET_TRY(auto svid,
             IssueAgentSvid(issuer_, caller, caller.id, AsBytes(request.params().csr())));
  auto stored = registry_.ChangeNode(
      caller.id,
      [&](Node& node) -> Status {
        if (node.banned())
          return Fail(Code::kPermissionDenied, kCallDenied,
                      "the agent was banned or deleted meanwhile");
        node.new_serial = svid.leaf.SerialDecimal();
        node.new_serial_expires_at = UnixSeconds(svid.leaf.not_after());
        return {};
      },
      caller.AsActor());
  if (!stored) return Fail(stored.error());
  types::X509SVID response;
  WriteSvid(svid, caller.id, &response);
  return response;
}

Status AgentService::PostStatus(const Caller& caller, const agent::PostStatusRequest& request) {
  if (request.agent_version().size() > kMaxVersionBytes)
    return Invalid("agent version is too long (max 255 characters)");
  acknowledgements_.RecordBundleSerial(caller.id, request.current_bundle_serial());
  if (request.agent_version().empty()) return {};
  const auto node = registry_.FindNode(caller.id);
  if (node && node->agent_version == request.agent_version()) return {};
  auto stored = registry_.ChangeNode(
      caller.id,
      [&](Node& changed) -> Status {
        if (changed.banned())
          return Fail(Code::kPermissionDenied, kCallDenied,
                      "the agent was banned or deleted meanwhile");
        changed.agent_version = request.agent_version();
        return {};
      },
      caller.AsActor());
  if (!stored) return Fail(stored.error());
  return {};
}

}  // namespace signet::identity
