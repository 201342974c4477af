#include "identity/api/agent_service.h"

#include <google/protobuf/empty.pb.h>

#include "ca/crypto/digest.h"
#include "ca/x509/request.h"
#include "identity/api/acknowledgements.h"
#include "identity/api/convert.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

namespace agent = spire::api::server::agent::v1;
namespace types = spire::api::types;
using google::protobuf::Empty;

constexpr std::string_view kJoinToken = "join_token";
constexpr std::size_t kMaxTokenBytes = 1024;
constexpr std::size_t kMaxVersionBytes = 255;
// The serial of a node whose first SVID is not issued yet; no certificate of ours has it.
constexpr std::string_view kNoSerial = "0";

tl::unexpected<Error> Invalid(std::string detail) {
  return Fail(Code::kInvalidArgument, kFieldInvalid, std::move(detail));
}

std::string Path(std::string_view name) {
  return "/spire.api.server.agent.v1.Agent/" + std::string(name);
}

std::string TokenDigest(std::string_view token) { return EncodeHex(ca::Sha256(AsBytes(token))); }

Selector IdSelector(const SpiffeId& agent_id) { return {"spiffe_id", agent_id.ToString()}; }

Result<ca::CertificateRequest> ReadCsr(ByteView csr) {
  auto request = ca::ParseRequest(csr);
  if (request) return request;
  return Fail(InContext("failed to parse CSR", Code::kInvalidArgument, request.error()));
}

// What an attestation must hold before anything is looked up.
Status CheckAttestation(const agent::AttestAgentRequest& request) {
  const auto missing = [](std::string_view what) {
    return Invalid("malformed param: missing " + std::string(what));
  };
  if (!request.has_params()) return missing("params");
  const auto& params = request.params();
  if (!params.has_data()) return missing("attestation data");
  if (!params.has_params()) return missing("X509-SVID parameters");
  if (params.params().csr().empty()) return missing("CSR");
  if (params.data().type().empty()) return missing("attestation data type");
  if (params.data().payload().empty()) return missing("attestation data payload");
  if (params.data().type() == kJoinToken) return {};
  return Fail(
      Code::kFailedPrecondition, kAttestationRefused,
      "could not find node attestor type \"" + EscapeForLog(params.data().type(), 64) + "\"");
}

}  // namespace

Result<SpiffeId> JoinTokenAgentId(const TrustDomain& trust_domain, std::string_view token) {
  const auto digest = ca::Sha256(AsBytes("signet join token agent\n" + std::string(token)));
  return AgentId(trust_domain, kJoinToken, EncodeHex(ByteView(digest).first(16)));
}

// One request, one result: a join token needs no challenge.
class AgentService::AttestHandler final : public StreamHandler {
 public:
  AttestHandler(AgentService& service, std::shared_ptr<StreamCall> call)
      : service_(service), call_(std::move(call)) {}

  void OnMessage(const grpc::ByteBuffer& message) override {
    agent::AttestAgentRequest request;
    auto checked = ParseMessage(message, &request);
    if (checked) checked = CheckAttestation(request);
    if (checked) checked = service_.attestations_.Take(*call_->caller(), 1);
    if (!checked) return call_->End(ToGrpcStatus(checked.error()));
    auto svid = service_.Attest(*call_->caller(), request.params());
    if (!svid) return call_->End(ToGrpcStatus(svid.error()));
    agent::AttestAgentResponse response;
    *response.mutable_result()->mutable_svid() = std::move(*svid);
    call_->Send(SerializeMessage(response));
    call_->End(grpc::Status::OK);
  }
  void OnHalfClose() override {
    call_->End({grpc::StatusCode::INVALID_ARGUMENT, "malformed param: missing params"});
  }

 private:
  AgentService& service_;
  const std::shared_ptr<StreamCall> call_;
};

AgentService::AgentService(const Parts& parts, const AgentServiceSettings& settings)
    : registry_(parts.registry),
      issuer_(parts.issuer),
      acknowledgements_(parts.acknowledgements),
      settings_(settings),
      clock_(parts.clock),
      random_(parts.random),
      log_(parts.log),
      attestations_(settings.limit_attestation ? kAttestationRate : 0, parts.clock) {}

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
                       [this](const Caller&, const agent::CreateJoinTokenRequest& request) {
                         return CreateJoinToken(request);
                       }));
}

void AgentService::RegisterForAgents(Router* router) {
  router->AddStream(Path("AttestAgent"), [this](std::shared_ptr<StreamCall> call) {
    return std::make_shared<AttestHandler>(*this, std::move(call));
  });
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
  SIGNET_RETURN_IF_ERROR(registry_.BanNode(node->id));
  log_.Info("agent banned", {{"agent", node->id.ToString()}, {"by", caller.Name()}});
  return {};
}

Status AgentService::Delete(const Caller& caller, const types::SPIFFEID* proto) {
  SIGNET_TRY(auto node, Find(proto));
  SIGNET_RETURN_IF_ERROR(registry_.DeleteNode(node->id));
  log_.Info("agent deleted", {{"agent", node->id.ToString()}, {"by", caller.Name()}});
  return {};
}

Result<types::JoinToken> AgentService::CreateJoinToken(
    const agent::CreateJoinTokenRequest& request) {
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
  auto added = registry_.AddJoinToken({.digest = TokenDigest(response.value()),
                                       .expires_at = response.expires_at(),
                                       .agent_path = alias ? alias->path() : std::string()});
  if (!added) {
    // A value that is taken is INTERNAL, as SPIRE answers it.
    const auto code =
        added.error().code == Code::kAlreadyExists ? Code::kInternal : added.error().code;
    return Fail(InContext("failed to create token", code, added.error()));
  }
  if (alias) {
    SIGNET_TRY(auto agent_id, JoinTokenAgentId(registry_.trust_domain(), response.value()));
    SIGNET_RETURN_IF_ERROR(CreateAlias(agent_id, *alias));
  }
  return response;
}

Status AgentService::CreateAlias(const SpiffeId& agent_id, const SpiffeId& alias) {
  Entry entry;
  entry.spiffe_id = alias;
  entry.parent_id = agent_id;
  entry.selectors = {IdSelector(agent_id)};
  const auto outcomes = registry_.CreateEntries({std::move(entry)});
  const auto& status = outcomes.front().status;
  if (status || status.error().code == Code::kAlreadyExists) return {};
  return Fail(InContext("failed to create join token registration entry", status.error().code,
                        status.error()));
}

Result<IssuedSvid> AgentService::IssueAgentSvid(const Caller& caller, const SpiffeId& agent_id,
                                                ByteView csr) const {
  SIGNET_TRY(auto request, ReadCsr(csr));
  IssueRequest issue;
  issue.public_key = request.public_key;
  issue.id = agent_id;
  issue.purpose = ca::Purpose::kAgent;
  issue.requested_by = caller.Name();
  return issuer_.IssueOne(issue);
}

Result<types::X509SVID> AgentService::Attest(const Caller& caller, const Attestation& attestation) {
  const std::string_view token = attestation.data().payload();
  const auto csr = AsBytes(attestation.params().csr());
  SIGNET_TRY(auto agent_id, JoinTokenAgentId(registry_.trust_domain(), token));
  auto taken = registry_.AttestWithToken(TokenDigest(token), [&](const JoinToken&) -> Result<Node> {
    if (const auto known = registry_.FindNode(agent_id); known && known->banned()) {
      return Fail(Code::kPermissionDenied, kAttestationRefused, "agent is banned");
    }
    SIGNET_TRY(auto request, ReadCsr(csr));
    Node node;
    node.id = agent_id;
    node.attestation_type = kJoinToken;
    node.serial = kNoSerial;
    if (settings_.agent_id_selector) node.selectors = {IdSelector(agent_id)};
    return node;
  });
  if (!taken) {
    const auto code =
        taken.error().code == Code::kNotFound ? Code::kInvalidArgument : taken.error().code;
    return Fail(InContext("failed to attest", code, taken.error()));
  }
  SIGNET_TRY(auto svid, IssueAgentSvid(caller, agent_id, csr));
  auto stored = registry_.ChangeNode(agent_id, [&](Node& node) -> Status {
    if (node.banned())
      return Fail(Code::kPermissionDenied, kAttestationRefused,
                  "the agent was banned or deleted meanwhile");
    node.serial = svid.leaf.SerialDecimal();
    node.serial_expires_at = UnixSeconds(svid.leaf.not_after());
    node.new_serial.clear();
    node.new_serial_expires_at = 0;
    return {};
  });
  if (!stored) return Fail(stored.error());
  log_.Info("agent attested",
            {{"agent", agent_id.ToString()}, {"attestor", kJoinToken}, {"remote", caller.remote}});
  types::X509SVID response;
  WriteSvid(svid, agent_id, &response);
  return response;
}

Result<types::X509SVID> AgentService::Renew(const Caller& caller,
                                            const agent::RenewAgentRequest& request) {
  if (!request.has_params()) return Invalid("params cannot be nil");
  if (request.params().csr().empty()) return Invalid("missing CSR");
  SIGNET_TRY(auto svid, IssueAgentSvid(caller, caller.id, AsBytes(request.params().csr())));
  auto stored = registry_.ChangeNode(caller.id, [&](Node& node) -> Status {
    if (node.banned())
      return Fail(Code::kPermissionDenied, kCallDenied,
                  "the agent was banned or deleted meanwhile");
    node.new_serial = svid.leaf.SerialDecimal();
    node.new_serial_expires_at = UnixSeconds(svid.leaf.not_after());
    return {};
  });
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
  auto stored = registry_.ChangeNode(caller.id, [&](Node& changed) -> Status {
    if (changed.banned())
      return Fail(Code::kPermissionDenied, kCallDenied,
                  "the agent was banned or deleted meanwhile");
    changed.agent_version = request.agent_version();
    return {};
  });
  if (!stored) return Fail(stored.error());
  return {};
}

}  // namespace signet::identity
