#include "agent/endpoints/workload_service.h"
#include "agent/endpoints/refusal.h"

namespace signet::agent {
namespace {

// Workload Endpoint, 3: exactly one value, byte for byte.
grpc::Status CheckSecurityHeader(const grpc::CallbackServerContext& context) {
  const auto [first, last] = context.client_metadata().equal_range("workload.spiffe.io");
  if (first != last && std::next(first) == last && first->second == "true") return grpc::Status::OK;
  return Refusal(grpc::StatusCode::INVALID_ARGUMENT, kNoSecurityHeader);
}

// `context` is checked before an answer that the profile is not there.
grpc::Status Unimplemented(const grpc::CallbackServerContext& context, const char* message) {
  const grpc::Status header = CheckSecurityHeader(context);
  return header.ok() ? grpc::Status(grpc::StatusCode::UNIMPLEMENTED, message) : header;
}

// Encodes a caller's view when it is another one than was told last: most changes are of others.
template <class Response>
Encoder<Response> OfView(const identity::SelectorSet& selectors,
                         std::function<Answer<Response>(const WorkloadView&)> encode) {
  return [selectors, encode = std::move(encode), told = WorkloadView()](const Snapshot& snapshot,
                                                                        WallTime now) mutable {
    WorkloadView view = ViewFor(snapshot, selectors, now);
    Answer<Response> answer;
    answer.kind = AnswerKind::kSilent;
    if (view.state != WorkloadView::State::kNotReady && view == told) return answer;
    answer = encode(view);
    if (answer.kind == AnswerKind::kSend && answer.missing.empty()) told = std::move(view);
    return answer;
  };
}

}  // namespace

WorkloadService::WorkloadService(StreamContext& streams, CallerGate& gate, JwtSource& jwts,
                                 AttestationPool& jwt_pool, const EndpointOptions& options)
    : streams_(streams),
      gate_(gate),
      jwts_(jwts),
      jwt_pool_(jwt_pool),
      unregistered_(options.allow_unauthenticated_verifiers ? UnregisteredCallers::kOwnBundle
                                                            : UnregisteredCallers::kRefused),
      foreign_claims_(options.allowed_foreign_jwt_claims) {}

template <class Response>
grpc::ServerWriteReactor<Response>* WorkloadService::Open(grpc::CallbackServerContext* context,
                                                          ViewEncoder<Response> encode) {
  using Reactor = grpc::ServerWriteReactor<Response>;
  if (const grpc::Status header = CheckSecurityHeader(*context); !header.ok())
    return gate_.RefuseStream<Reactor>(header);
  auto admission = gate_.Admit(*context);
  if (!admission) return gate_.RefuseStream<Reactor>(admission.error());
  auto stream = UpdateStream<Response>::Create(streams_, std::move(admission->caller),
                                               std::move(admission->slot));
  gate_.Attest(
      stream->caller(),
      [stream, encode](const identity::SelectorSet& selectors) {
        stream->Begin(selectors, OfView<Response>(selectors, encode));
      },
      [stream](const grpc::Status& status) { stream->Refuse(status); });
  return stream.get();
}

grpc::ServerWriteReactor<X509SVIDResponse>* WorkloadService::FetchX509SVID(
    grpc::CallbackServerContext* context, const X509SVIDRequest*) {
  return Open<X509SVIDResponse>(context, &AnswerX509Svid);
}

grpc::ServerWriteReactor<X509BundlesResponse>* WorkloadService::FetchX509Bundles(
    grpc::CallbackServerContext* context, const X509BundlesRequest*) {
  return Open<X509BundlesResponse>(
      context, [this](const WorkloadView& view) { return AnswerX509Bundles(view, unregistered_); });
}

grpc::ServerWriteReactor<signet::mesh::v1::WatchResponse>* WorkloadService::WatchDenials(
    grpc::CallbackServerContext* context) {
  return Open<signet::mesh::v1::WatchResponse>(context, &AnswerDenials);
}

grpc::ServerWriteReactor<JWTBundlesResponse>* WorkloadService::FetchJWTBundles(
    grpc::CallbackServerContext* context, const JWTBundlesRequest*) {
  return Open<JWTBundlesResponse>(
      context, [this](const WorkloadView& view) { return AnswerJwtBundles(view, unregistered_); });
}

grpc::ServerUnaryReactor* WorkloadService::FetchJWTSVID(grpc::CallbackServerContext* context,
                                                        const JWTSVIDRequest* request,
                                                        JWTSVIDResponse* response) {
  if (const grpc::Status header = CheckSecurityHeader(*context); !header.ok())
    return gate_.RefuseUnary(context, header);
  auto question = ReadQuestion(*request);
  if (!question) return gate_.RefuseUnary(context, question.error());
  auto admission = gate_.Admit(*context);
  if (!admission) return gate_.RefuseUnary(context, admission.error());
  auto call = PendingCall<JWTSVIDResponse>::Create(streams_, std::move(admission->caller),
                                                   std::move(admission->slot), response);
  gate_.Attest(
      call->caller(),
      [this, call, question = *std::move(question)](identity::SelectorSet selectors) {
        const bool taken =
            jwt_pool_.Submit([this, call, question, selectors = std::move(selectors)] {
              AnswerJwt(call, question, selectors);
            });
        if (!taken) call->Refuse(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull));
      },
      [call](const grpc::Status& status) { call->Refuse(status); });
  return call.get();
}

void WorkloadService::AnswerJwt(const std::shared_ptr<PendingCall<JWTSVIDResponse>>& call,
                                const JwtQuestion& question,
                                const identity::SelectorSet& selectors) {
  const WorkloadView view = ViewFor(*streams_.cache.Current(), selectors, streams_.clock.Now());
  AnswerKind kind = AnswerKind::kEnd;
  grpc::Status status;
  if (!IsGranted(view, &kind, &status)) return call->Refuse(status);
  JWTSVIDResponse response;
  for (const Grant& grant : view.grants) {
    if (question.spiffe_id && *question.spiffe_id != grant.entry->spiffe_id) continue;
    const auto token = jwts_.Fetch(*grant.entry, question.audience);
    if (!token)
      return call->Refuse(
          Refusal(grpc::StatusCode::UNAVAILABLE, kNoToken, token.error().Message()));
    JWTSVID* svid = response.add_svids();
    svid->set_spiffe_id(grant.entry->spiffe_id.ToString());
    svid->set_svid((*token)->token);
    svid->set_hint(grant.entry->hint);
  }
  if (response.svids().empty())
    return call->Refuse(Refusal(grpc::StatusCode::PERMISSION_DENIED, kNoIdentityIssued));
  if (!net::IsAlive(call->caller()->credentials))
    return call->Refuse(Refusal(grpc::StatusCode::UNAVAILABLE, kCallerEnded));
  call->End(grpc::Status::OK, std::move(response));
}

grpc::ServerUnaryReactor* WorkloadService::ValidateJWTSVID(grpc::CallbackServerContext* context,
                                                           const ValidateJWTSVIDRequest* request,
                                                           ValidateJWTSVIDResponse* response) {
  if (const grpc::Status header = CheckSecurityHeader(*context); !header.ok())
    return gate_.RefuseUnary(context, header);
  auto admission = gate_.Admit(*context);
  if (!admission) return gate_.RefuseUnary(context, admission.error());
  auto call = PendingCall<ValidateJWTSVIDResponse>::Create(streams_, std::move(admission->caller),
                                                           std::move(admission->slot), response);
  gate_.Attest(
      call->caller(),
      [this, call, asked = *request](const identity::SelectorSet& selectors) {
        const WallTime now = streams_.clock.Now();
        auto answer = ValidateJwt(ViewFor(*streams_.cache.Current(), selectors, now), asked, now,
                                  foreign_claims_);
        if (!answer) return call->Refuse(answer.error());
        call->End(grpc::Status::OK, *std::move(answer));
      },
      [call](const grpc::Status& status) { call->Refuse(status); });
  return call.get();
}

grpc::ServerWriteReactor<WITSVIDResponse>* WorkloadService::FetchWITSVID(
    grpc::CallbackServerContext* context, const WITSVIDRequest*) {
  return gate_.RefuseStream<grpc::ServerWriteReactor<WITSVIDResponse>>(
      Unimplemented(*context, "fetching WIT-SVIDs is not implemented"));
}

grpc::ServerWriteReactor<WITBundlesResponse>* WorkloadService::FetchWITBundles(
    grpc::CallbackServerContext* context, const WITBundlesRequest*) {
  return gate_.RefuseStream<grpc::ServerWriteReactor<WITBundlesResponse>>(
      Unimplemented(*context, "fetching WIT bundles is not implemented"));
}

}  // namespace signet::agent
