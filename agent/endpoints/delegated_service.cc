#include "agent/endpoints/delegated_service.h"

#include "agent/endpoints/refusal.h"
#include "agent/endpoints/workload_answers.h"

namespace signet::agent {

using namespace delegated;  // NOLINT(google-build-using-namespace): the messages of this service

DelegatedService::DelegatedService(StreamContext& streams, CallerGate& gate, JwtSource& jwts,
                                   AttestationPool& jwt_pool, Delegates delegates)
    : streams_(streams),
      gate_(gate),
      jwts_(jwts),
      jwt_pool_(jwt_pool),
      delegates_(std::move(delegates)) {}

grpc::Status DelegatedService::Authorize(const identity::SelectorSet& caller) const {
  return delegated::Authorize(*streams_.cache.Current(), caller, delegates_, streams_.clock.Now());
}

tl::expected<identity::SelectorSet, grpc::Status> DelegatedService::WorkloadOf(
    const google::protobuf::RepeatedPtrField<spire::api::types::Selector>& selectors,
    std::int32_t pid) {
  if (selectors.empty() == (pid == 0))
    return tl::unexpected(
        grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                     "must provide either selectors or non-zero PID, but not both"));
  if (pid == 0) return ReadSelectors(selectors);
  const auto credentials = net::ReadProcessCredentials(pid);
  if (!credentials)
    return tl::unexpected(Refusal(grpc::StatusCode::UNAVAILABLE, kAttestationFailed));
  return gate_.AttestNow(*credentials);
}

template <class Response>
grpc::ServerWriteReactor<Response>* DelegatedService::Open(
    grpc::CallbackServerContext* context,
    std::function<tl::expected<Subject<Response>, grpc::Status>()> prepare) {
  auto admission = gate_.Admit(*context);
  if (!admission) return gate_.RefuseStream<grpc::ServerWriteReactor<Response>>(admission.error());
  auto stream = UpdateStream<Response>::Create(streams_, std::move(admission->caller),
                                               std::move(admission->slot));
  const auto begin = [this, stream, prepare](identity::SelectorSet caller) {
    if (const grpc::Status status = Authorize(caller); !status.ok()) return stream->Refuse(status);
    auto subject = prepare();
    if (!subject) return stream->Refuse(subject.error());
    stream->Begin(subject->used,
                  [this, caller = std::move(caller), encode = std::move(subject->encode)](
                      const Snapshot& snapshot, WallTime now) {
                    Answer<Response> answer;
                    answer.status = delegated::Authorize(snapshot, caller, delegates_, now);
                    return answer.status.ok() ? encode(snapshot, now) : answer;
                  });
  };
  gate_.Attest(stream->caller(), begin,
               [stream](const grpc::Status& status) { stream->Refuse(status); });
  return stream.get();
}

grpc::ServerWriteReactor<api::SubscribeToX509SVIDsResponse>* DelegatedService::SubscribeToX509SVIDs(
    grpc::CallbackServerContext* context, const api::SubscribeToX509SVIDsRequest* request) {
  using Response = api::SubscribeToX509SVIDsResponse;
  return Open<Response>(
      context, [this, asked = *request]() -> tl::expected<Subject<Response>, grpc::Status> {
        auto workload = WorkloadOf(asked.selectors(), asked.pid());
        if (!workload) return tl::unexpected(workload.error());
        return Subject<Response>{
            [workload = *workload](const Snapshot& snapshot, WallTime now) {
              return AnswerX509Svids(ViewFor(snapshot, workload, now, EqualHints::kAll));
            },
            *workload};
      });
}

grpc::ServerWriteReactor<api::SubscribeToX509BundlesResponse>*
DelegatedService::SubscribeToX509Bundles(grpc::CallbackServerContext* context,
                                         const api::SubscribeToX509BundlesRequest*) {
  using Response = api::SubscribeToX509BundlesResponse;
  return Open<Response>(context, []() -> tl::expected<Subject<Response>, grpc::Status> {
    return Subject<Response>{
        [](const Snapshot& snapshot, WallTime) { return delegated::AnswerX509Bundles(snapshot); },
        {}};
  });
}

grpc::ServerWriteReactor<api::SubscribeToJWTBundlesResponse>*
DelegatedService::SubscribeToJWTBundles(grpc::CallbackServerContext* context,
                                        const api::SubscribeToJWTBundlesRequest*) {
  using Response = api::SubscribeToJWTBundlesResponse;
  return Open<Response>(context, []() -> tl::expected<Subject<Response>, grpc::Status> {
    return Subject<Response>{
        [](const Snapshot& snapshot, WallTime) { return delegated::AnswerJwtBundles(snapshot); },
        {}};
  });
}

grpc::ServerUnaryReactor* DelegatedService::FetchJWTSVIDs(grpc::CallbackServerContext* context,
                                                          const api::FetchJWTSVIDsRequest* request,
                                                          api::FetchJWTSVIDsResponse* response) {
  auto audience = ReadAudience(request->audience());
  if (!audience) return gate_.RefuseUnary(context, audience.error());
  auto admission = gate_.Admit(*context);
  if (!admission) return gate_.RefuseUnary(context, admission.error());
  auto call =
      JwtCall::Create(streams_, std::move(admission->caller), std::move(admission->slot), response);
  gate_.Attest(
      call->caller(),
      [this, call, asked = *request,
       audience = *std::move(audience)](const identity::SelectorSet& caller) {
        if (const grpc::Status status = Authorize(caller); !status.ok())
          return call->Refuse(status);
        auto workload = WorkloadOf(asked.selectors(), asked.pid());
        if (!workload) return call->Refuse(workload.error());
        const bool taken =
            jwt_pool_.Submit([this, call, audience, workload = *std::move(workload)] {
              AnswerJwt(call, audience, workload);
            });
        if (!taken) call->Refuse(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull));
      },
      [call](const grpc::Status& status) { call->Refuse(status); });
  return call.get();
}

void DelegatedService::AnswerJwt(const std::shared_ptr<JwtCall>& call,
                                 const std::vector<std::string>& audience,
                                 const identity::SelectorSet& workload) {
  const WorkloadView view =
      ViewFor(*streams_.cache.Current(), workload, streams_.clock.Now(), EqualHints::kAll);
  api::FetchJWTSVIDsResponse response;
  for (const Grant& grant : view.grants) {
    if (grant.entry->admin || grant.entry->downstream) continue;
    const auto token = jwts_.Fetch(*grant.entry, audience);
    if (!token)
      return call->Refuse(
          Refusal(grpc::StatusCode::UNAVAILABLE, kNoToken, token.error().Message()));
    auto* svid = response.add_svids();
    svid->set_token((*token)->token);
    svid->mutable_id()->set_trust_domain(grant.entry->spiffe_id.trust_domain().name());
    svid->mutable_id()->set_path(grant.entry->spiffe_id.path());
    svid->set_expires_at(UnixSeconds((*token)->expires_at));
    svid->set_issued_at(UnixSeconds((*token)->issued_at));
    svid->set_hint(grant.entry->hint);
  }
  if (response.svids().empty())
    return call->Refuse(Refusal(grpc::StatusCode::PERMISSION_DENIED, kNoIdentityIssued));
  call->End(grpc::Status::OK, std::move(response));
}

}  // namespace signet::agent
