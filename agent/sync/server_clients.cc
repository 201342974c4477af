#include "agent/sync/server_clients.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "agent/attest/denial.h"
#include "agent/sync/bidi_call.h"
#include "agent/sync/codec.h"
#include "agent/sync/grpc_error.h"
#include "identity/proof/nonce.h"
#include "net/grpc/rpc.h"
#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"

namespace signet::agent {
namespace {

namespace agent_api = spire::api::server::agent::v1;
namespace bundle_api = spire::api::server::bundle::v1;
namespace svid_api = spire::api::server::svid::v1;

constexpr std::size_t kMaxChallenges = 8;  // of one attestation

std::chrono::system_clock::time_point CallDeadline() {
  return std::chrono::system_clock::now() + kCallTimeout;
}

Error Away() { return Error{Code::kUnavailable, kServerAway, {}}; }

Result<ca::Chain> ToResult(const svid_api::BatchNewX509SVIDResponse::Result& result) {
  if (result.status().code() != 0)
    return Fail(static_cast<Code>(result.status().code()), kServerAnswered,
                EscapeForLog(result.status().message(), 512));
  return ToChain(result.svid());
}

Result<identity::Bundle> GetBundle(const Connection& connection) {
  grpc::ClientContext context;
  context.set_deadline(CallDeadline());
  spire::api::types::Bundle bundle;
  const grpc::Status status = bundle_api::Bundle::NewStub(connection.channel)
                                  ->GetBundle(&context, bundle_api::GetBundleRequest(), &bundle);
  if (!status.ok()) return Fail(FromGrpc(status));
  return ToBundle(bundle);
}

// The server was asked and will say the same again.
bool IsRefusal(grpc::StatusCode code) {
  switch (code) {
    case grpc::INVALID_ARGUMENT:
    case grpc::NOT_FOUND:
    case grpc::ALREADY_EXISTS:
    case grpc::PERMISSION_DENIED:
    case grpc::FAILED_PRECONDITION:
    case grpc::UNAUTHENTICATED:
    case grpc::UNIMPLEMENTED:
      return true;
    default:
      return false;
  }
}

using AttestCall = BidiCall<agent_api::AttestAgentRequest, agent_api::AttestAgentResponse>;

// Why an attestation ended without a result.
tl::unexpected<Error> EndOf(AttestCall& call, AttestCall::Outcome outcome) {
  if (outcome == AttestCall::Outcome::kTimeout) call.Cancel();
  const grpc::Status status = call.Finish();
  Error error = FromGrpc(status);
  if (IsRefusal(status.error_code())) error.reason = kAttestationRefused;
  return Fail(std::move(error));
}

}  // namespace

IssueAnswer SpireSvidIssuer::Issue(const std::vector<MintRequest>& requests) {
  const ConnectionPtr connection = link_.current();
  if (!connection) return {Fail(Away()), std::nullopt};
  svid_api::BatchNewX509SVIDRequest call;
  for (const MintRequest& request : requests) {
    auto* params = call.add_params();
    params->set_entry_id(request.entry_id);
    params->set_csr(ToString(request.request));
  }
  grpc::ClientContext context;
  // The server lets it go ahead of first SVIDs.
  if (std::ranges::any_of(requests, &MintRequest::renewal))
    context.AddMetadata(std::string(net::kRpcRenewalField), "1");
  context.set_deadline(CallDeadline());
  svid_api::BatchNewX509SVIDResponse answer;
  const grpc::Status status =
      svid_api::SVID::NewStub(connection->channel)->BatchNewX509SVID(&context, call, &answer);
  if (!status.ok()) {
    // A denial is met, and dealt with, by the sync worker as it connects again.
    if (status.error_code() == grpc::UNAVAILABLE ||
        AnswerTo(FromGrpc(status)) != DenialAnswer::kNone)
      link_.Drop(connection);
    return {Fail(FromGrpc(status)), RetryHint(context)};
  }
  std::vector<Result<ca::Chain>> results;
  for (const auto& result : answer.results()) results.push_back(ToResult(result));
  return {std::move(results), std::nullopt};
}

Result<identity::Bundle> SpireNodeAuthority::FetchBundle(const identity::Bundle& trust) {
  SIGNET_TRY(const ConnectionPtr connection, link_.ConnectAnonymously(trust));
  return GetBundle(*connection);
}

Result<identity::Bundle> SpireNodeAuthority::FetchUnverifiedBundle() {
  SIGNET_TRY(const ConnectionPtr connection, link_.ConnectUnverified());
  return GetBundle(*connection);
}

Result<ca::Chain> SpireNodeAuthority::Attest(const identity::Bundle& trust, std::string_view type,
                                             NodeProof& proof, const Bytes& request) {
  SIGNET_TRY(const ConnectionPtr connection, link_.ConnectAnonymously(trust));
  const auto stub = agent_api::Agent::NewStub(connection->channel);
  AttestCall call(
      [&](auto* context, auto* reactor) { stub->async()->AttestAgent(context, reactor); },
      CallDeadline());
  agent_api::AttestAgentRequest message;
  message.mutable_params()->mutable_data()->set_type(std::string(type));
  message.mutable_params()->mutable_data()->set_payload(std::string(proof.payload()));
  message.mutable_params()->mutable_params()->set_csr(ToString(request));
  for (std::size_t challenges = 0;; ++challenges) {
    call.Write(message);
    agent_api::AttestAgentResponse answer;
    const auto outcome = call.Read(&answer, kCallTimeout);
    if (outcome != AttestCall::Outcome::kMessage) {
      auto end = EndOf(call, outcome);
      NotePause(call.context());
      return end;
    }
    if (answer.has_result()) return ToChain(answer.result().svid());
    if (answer.challenge().size() > identity::kMaxProofBytes || challenges >= kMaxChallenges)
      return Fail(Code::kFailedPrecondition, kAttestationRefused,
                  "the server's challenges have no end, or are larger than 128 KiB");
    SIGNET_TRY(auto response, proof.Respond(answer.challenge()));
    message.Clear();
    message.set_challenge_response(std::move(response));
  }
}

Result<ca::Chain> SpireNodeAuthority::Renew(const Bytes& request) {
  const ConnectionPtr connection = link_.current();
  if (!connection) return Fail(Away());
  agent_api::RenewAgentRequest call;
  call.mutable_params()->set_csr(ToString(request));
  grpc::ClientContext context;
  context.set_deadline(CallDeadline());
  agent_api::RenewAgentResponse answer;
  const grpc::Status status =
      agent_api::Agent::NewStub(connection->channel)->RenewAgent(&context, call, &answer);
  if (!status.ok()) {
    if (status.error_code() == grpc::UNAVAILABLE ||
        AnswerTo(FromGrpc(status)) != DenialAnswer::kNone)
      link_.Drop(connection);
    NotePause(context);
    return Fail(FromGrpc(status));
  }
  return ToChain(answer.svid());
}

void SpireNodeAuthority::NotePause(const grpc::ClientContext& context) {
  if (const auto hint = RetryHint(context)) pause_asked_ = hint->count();
}

}  // namespace signet::agent
