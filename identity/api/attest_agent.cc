#include "identity/api/attest_agent.h"

#include "ca/x509/request.h"
#include "identity/api/convert.h"
#include "identity/api/rpc_status.h"

namespace signet::identity {
namespace {

namespace agent = spire::api::server::agent::v1;

constexpr std::string_view kAttestFailed = "failed to attest";

tl::unexpected<Error> Invalid(std::string detail) {
  return Fail(Code::kInvalidArgument, kFieldInvalid, std::move(detail));
}

tl::unexpected<Error> Refused(std::string detail) {
  return Fail(Code::kPermissionDenied, kAttestationRefused, std::move(detail));
}

Result<ca::CertificateRequest> ReadCsr(ByteView csr) {
  auto request = ca::ParseRequest(csr);
  if (request) return request;
  return Fail(InContext("failed to parse CSR", Code::kInvalidArgument, request.error()));
}

// What an attestation must hold before anything is looked up.
Status CheckParams(const agent::AttestAgentRequest& request) {
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
  if (params.data().payload().size() <= kMaxProofBytes) return {};
  return Invalid("malformed param: attestation data payload is larger than 128 KiB");
}

}  // namespace

Result<IssueRequest> AgentSvidRequest(const Caller& caller, const SpiffeId& agent_id,
                                      ByteView csr) {
  SIGNET_TRY(auto request, ReadCsr(csr));
  IssueRequest issue;
  issue.public_key = request.public_key;
  issue.id = agent_id;
  issue.purpose = ca::Purpose::kAgent;
  issue.requested_by = caller.Name();
  return issue;
}

Result<IssuedSvid> IssueAgentSvid(const Issuer& issuer, const Caller& caller,
                                  const SpiffeId& agent_id, ByteView csr) {
  SIGNET_TRY(const auto request, AgentSvidRequest(caller, agent_id, csr));
  return issuer.IssueOne(request);
}

// One attestation: the parameters, then a response to each challenge.
class AttestAgent::Stream final : public StreamHandler {
 public:
  Stream(AttestAgent& service, std::shared_ptr<StreamCall> call)
      : service_(service), call_(std::move(call)) {}

  void OnMessage(const std::string& message) override {
    service_.StopWaiting(call_.get());
    agent::AttestAgentRequest request;
    auto step = ParseMessage(message, &request)
                    ? Advance(request)
                    : Result<AttestationStep>(Invalid("malformed request"));
    if (!step) return call_->End(ToGrpcStatus(step.error()));
    agent::AttestAgentResponse response;
    if (auto* challenge = std::get_if<Challenge>(&*step)) {
      response.set_challenge(std::move(challenge->message));
      if (!service_.StartWaiting(call_.get(), call_, until_))
        return call_->End({grpc::StatusCode::RESOURCE_EXHAUSTED,
                           "too many nodes are being attested; try again later"});
      return call_->Send(SerializeMessage(response));
    }
    auto joined =
        service_.Join(*call_->caller(), params_, std::get<NodeAttributes>(*std::move(step)));
    if (!joined) return call_->End(ToGrpcStatus(joined.error()));
    *response.mutable_result() = std::move(*joined);
    call_->Send(SerializeMessage(response));
    call_->End(grpc::Status::OK);
  }
  void OnHalfClose() override {
    call_->End(
        attestation_
            ? grpc::Status(grpc::StatusCode::INTERNAL, "failed to receive challenge from agent")
            : grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "malformed param: missing params"));
  }
  void OnOver() override { service_.StopWaiting(call_.get()); }

 private:
  Result<AttestationStep> Advance(const agent::AttestAgentRequest& request) {
    const auto now = service_.parts_.clock.SteadyNow();
    if (!attestation_) {
      SIGNET_RETURN_IF_ERROR(CheckParams(request));
      SIGNET_RETURN_IF_ERROR(Begin(request.params()));
      until_ = now + kAttestationTimeout;
      return Take(params_.data().payload());
    }
    if (request.step_case() != agent::AttestAgentRequest::kChallengeResponse)
      return Invalid("a response to the challenge is due");
    if (now > until_)
      return Fail(Code::kDeadlineExceeded, kAttestationRefused, "the response came too late");
    if (request.challenge_response().size() > kMaxProofBytes)
      return Invalid("the response is larger than 128 KiB");
    return Take(request.challenge_response());
  }

  Status Begin(const Params& params) {
    const auto& type = params.data().type();
    const NodeAttestor* attestor = service_.parts_.attestors.Find(type);
    if (attestor == nullptr) {
      return Fail(Code::kFailedPrecondition, kAttestationRefused,
                  "error getting node attestor: could not find node attestor type \"" +
                      EscapeForLog(type, 64) + "\"");
    }
    SIGNET_RETURN_IF_ERROR(service_.rate_.Take(*call_->caller(), 1));
    params_ = params;
    attestation_ = attestor->Begin();
    return {};
  }

  Result<AttestationStep> Take(std::string_view message) {
    auto step = attestation_->Take(message);
    if (!step) return Fail(InContext(kAttestFailed, step.error().code, step.error()));
    if (std::holds_alternative<Challenge>(*step) && ++challenges_ > kMaxChallenges)
      return Fail(Code::kInternal, kAttestationRefused, "too many challenges");
    return step;
  }

  AttestAgent& service_;
  const std::shared_ptr<StreamCall> call_;
  Params params_;
  std::unique_ptr<Attestation> attestation_;  // null: the parameters come next
  std::size_t challenges_ = 0;
  SteadyTime until_;
};

AttestAgent::AttestAgent(const Parts& parts, const Settings& settings)
    : parts_(parts),
      settings_(settings),
      rate_(settings.limit_attestation ? kAttestationRate : 0, parts.clock) {}

void AttestAgent::Register(Router* router) {
  router->AddStream("/spire.api.server.agent.v1.Agent/AttestAgent",
                    [this](std::shared_ptr<StreamCall> call) { return Open(std::move(call)); });
}

std::shared_ptr<StreamHandler> AttestAgent::Open(std::shared_ptr<StreamCall> call) {
  return std::make_shared<Stream>(*this, std::move(call));
}

bool AttestAgent::StartWaiting(const StreamCall* call, std::weak_ptr<StreamCall> weak,
                               SteadyTime until) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= kMaxWaitingAttestations) return false;
  waiting_[call] = Waiting{std::move(weak), until};
  return true;
}

void AttestAgent::StopWaiting(const StreamCall* call) {
  const std::lock_guard lock(mutex_);
  waiting_.erase(call);
}

void AttestAgent::EndOverdue() {
  std::vector<std::shared_ptr<StreamCall>> overdue;
  {
    const std::lock_guard lock(mutex_);
    const auto now = parts_.clock.SteadyNow();
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      const bool over = now > it->second.until;
      if (auto call = over ? it->second.call.lock() : nullptr) overdue.push_back(std::move(call));
      it = over ? waiting_.erase(it) : std::next(it);
    }
  }
  for (const auto& call : overdue)
    call->End({grpc::StatusCode::DEADLINE_EXCEEDED,
               "the node did not respond to the challenge within 30 seconds"});
}

Status AttestAgent::CheckKnown(std::string_view type, const NodeAttributes& attributes) const {
  const auto known = parts_.registry.FindNode(attributes.id);
  if (known && known->banned()) return Refused("agent is banned");
  if (known && known->attestation_type != type)
    return Refused(attributes.id.ToString() + " is attested by " + known->attestation_type +
                   "; evict it to let it join by " + std::string(type));
  if (known && attributes.first_use_only)
    return Refused("the attestation data has already been used to attest an agent; evict " +
                   attributes.id.ToString() + " to let it join again");
  return {};
}

SelectorSet AttestAgent::Selectors(std::string_view type, const NodeAttributes& attributes) const {
  std::vector<Selector> selectors;
  for (const auto& value : attributes.selector_values)
    selectors.push_back({std::string(type), value});
  if (settings_.agent_id_selector) selectors.push_back({"spiffe_id", attributes.id.ToString()});
  return MakeSelectorSet(std::move(selectors));
}

// The token is spent, the node stored and the certificate recorded in one transaction; then it is
// signed. A request that is none spends the token too, as in SPIRE; it is looked at before the
// change lock is taken.
Result<IssuedSvid> AttestAgent::JoinByToken(const Caller& caller, const Params& params,
                                            const NodeAttributes& attributes) {
  auto prepared = Prepare(caller, params, attributes);
  const auto taken = parts_.registry.AttestWithToken(
      attributes.token_digest,
      [&](const JoinToken&) -> Result<Node> {
        SIGNET_RETURN_IF_ERROR(CheckKnown(params.data().type(), attributes));
        if (!prepared) return Fail(prepared.error());
        SIGNET_RETURN_IF_ERROR(parts_.issuer.Record(*prepared));
        Node node;
        node.id = attributes.id;
        node.attestation_type = params.data().type();
        node.serial = prepared->certificate.intent.SerialDecimal();
        node.serial_expires_at = UnixSeconds(prepared->certificate.intent.not_after);
        node.selectors = Selectors(params.data().type(), attributes);
        node.can_reattest = attributes.can_reattest;
        return node;
      },
      caller.AsActor());
  if (taken) return parts_.issuer.Sign(*prepared);
  const auto code =
      taken.error().code == Code::kNotFound ? Code::kInvalidArgument : taken.error().code;
  return Fail(InContext(kAttestFailed, code, taken.error()));
}

Result<PreparedSvid> AttestAgent::Prepare(const Caller& caller, const Params& params,
                                          const NodeAttributes& attributes) const {
  SIGNET_TRY(const auto request,
             AgentSvidRequest(caller, attributes.id, AsBytes(params.params().csr())));
  return parts_.issuer.PrepareOne(request);
}

Result<IssuedSvid> AttestAgent::JoinByProof(const Caller& caller, const Params& params,
                                            const NodeAttributes& attributes) {
  if (auto known = CheckKnown(params.data().type(), attributes); !known)
    return Fail(InContext(kAttestFailed, known.error().code, known.error()));
  SIGNET_TRY(auto svid,
             IssueAgentSvid(parts_.issuer, caller, attributes.id, AsBytes(params.params().csr())));
  SIGNET_RETURN_IF_ERROR(Store(caller, params, attributes, svid));
  return svid;
}

Status AttestAgent::Store(const Caller& caller, const Params& params,
                          const NodeAttributes& attributes, const IssuedSvid& svid) {
  auto stored = parts_.registry.ChangeNode(
      attributes.id,
      [&](Node& node) -> Status {
        const bool known = !node.attestation_type.empty();
        if (known && node.banned()) return Refused("the agent was banned meanwhile");
        if (known && attributes.first_use_only)
          return Refused("the attestation data has already been used to attest an agent");
        node.attestation_type = params.data().type();
        const auto ends = UnixSeconds(svid.leaf.not_after());
        // Who attests again while its SVID lasts goes on with that one until the new one is in use.
        if (known && node.serial_expires_at > UnixSeconds(parts_.clock.Now())) {
          node.new_serial = svid.leaf.SerialDecimal();
          node.new_serial_expires_at = ends;
        } else {
          node.serial = svid.leaf.SerialDecimal();
          node.serial_expires_at = ends;
          node.new_serial.clear();
          node.new_serial_expires_at = 0;
        }
        node.selectors = Selectors(params.data().type(), attributes);
        node.can_reattest = attributes.can_reattest;
        return {};
      },
      caller.AsActor());
  if (!stored) return Fail(stored.error());
  return {};
}

Result<AttestAgent::AttestResult> AttestAgent::Join(const Caller& caller, const Params& params,
                                                    const NodeAttributes& attributes) {
  SIGNET_TRY(const auto svid, attributes.token_digest.empty()
                                  ? JoinByProof(caller, params, attributes)
                                  : JoinByToken(caller, params, attributes));
  parts_.log.Info("agent attested", {{"agent", attributes.id.ToString()},
                                     {"attestor", params.data().type()},
                                     {"remote", caller.remote}});
  AttestResult result;
  result.set_reattestable(attributes.can_reattest);
  WriteSvid(svid, attributes.id, result.mutable_svid());
  return result;
}

}  // namespace signet::identity
