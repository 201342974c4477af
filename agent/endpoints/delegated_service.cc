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

void DelegatedService::Register(CallTable* calls) {
  const auto add = [calls](const char* method, auto open) {
    calls->Add(std::string("/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/") + method,
               open);
  };
  add("SubscribeToX509SVIDs",
      [this](const Arrival& arrival) { return SubscribeToX509Svids(arrival); });
  add("SubscribeToX509Bundles",
      [this](const Arrival& arrival) { return SubscribeToX509Bundles(arrival); });
  add("SubscribeToJWTBundles",
      [this](const Arrival& arrival) { return SubscribeToJwtBundles(arrival); });
  add("FetchJWTSVIDs", [this](const Arrival& arrival) { return FetchJwtSvids(arrival); });
}

template <class Request, class Response>
void DelegatedService::BeginIfAuthorized(UpdateStream<Response>& stream,
                                         const identity::SelectorSet& caller,
                                         const Request& request,
                                         const Prepare<Request, Response>& prepare) {
  if (const grpc::Status status = Authorize(caller); !status.ok()) return stream.Refuse(status);
  auto subject = prepare(request);
  if (!subject) return stream.Refuse(subject.error());
  stream.Begin(subject->used, [this, caller, encode = std::move(subject->encode)](
                                  const Snapshot& snapshot, WallTime now) {
    Answer<Response> answer;
    answer.status = delegated::Authorize(snapshot, caller, delegates_, now);
    return answer.status.ok() ? encode(snapshot, now) : answer;
  });
}

template <class Request, class Response>
DelegatedService::Handler DelegatedService::Open(const Arrival& arrival,
                                                 Prepare<Request, Response> prepare) {
  using StreamPtr = std::shared_ptr<UpdateStream<Response>>;
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  return UpdateStream<Response>::Create(
      streams_, *std::move(admission),
      [this, prepare = std::move(prepare)](const StreamPtr& stream, std::string bytes) {
        const auto refuse = [stream](const grpc::Status& status) { stream->Refuse(status); };
        const auto attest = [this, stream, prepare, refuse](const Request& request) {
          gate_.Attest(
              stream->caller(),
              [this, stream, prepare, request](const identity::SelectorSet& caller) {
                BeginIfAuthorized(*stream, caller, request, prepare);
              },
              refuse);
        };
        gate_.Read<Request>(std::move(bytes), attest, refuse);
      });
}

DelegatedService::Handler DelegatedService::SubscribeToX509Svids(const Arrival& arrival) {
  using Request = api::SubscribeToX509SVIDsRequest;
  using Response = api::SubscribeToX509SVIDsResponse;
  return Open<Request, Response>(
      arrival, [this](const Request& request) -> tl::expected<Subject<Response>, grpc::Status> {
        auto workload = WorkloadOf(request.selectors(), request.pid());
        if (!workload) return tl::unexpected(workload.error());
        return Subject<Response>{
            [workload = *workload](const Snapshot& snapshot, WallTime now) {
              return AnswerX509Svids(ViewFor(snapshot, workload, now, EqualHints::kAll));
            },
            *workload};
      });
}

DelegatedService::Handler DelegatedService::SubscribeToX509Bundles(const Arrival& arrival) {
  using Request = api::SubscribeToX509BundlesRequest;
  using Response = api::SubscribeToX509BundlesResponse;
  return Open<Request, Response>(arrival, [](const Request&) {
    return Subject<Response>{
        [](const Snapshot& snapshot, WallTime) { return delegated::AnswerX509Bundles(snapshot); },
        {}};
  });
}

DelegatedService::Handler DelegatedService::SubscribeToJwtBundles(const Arrival& arrival) {
  using Request = api::SubscribeToJWTBundlesRequest;
  using Response = api::SubscribeToJWTBundlesResponse;
  return Open<Request, Response>(arrival, [](const Request&) {
    return Subject<Response>{
        [](const Snapshot& snapshot, WallTime) { return delegated::AnswerJwtBundles(snapshot); },
        {}};
  });
}

DelegatedService::Handler DelegatedService::FetchJwtSvids(const Arrival& arrival) {
  using Request = api::FetchJWTSVIDsRequest;
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  return JwtCall::Create(streams_, *std::move(admission),
                         [this](const std::shared_ptr<JwtCall>& call, std::string bytes) {
                           const auto refuse = [call](const grpc::Status& status) {
                             call->Refuse(status);
                           };
                           const auto attest = [this, call, refuse](const Request& request) {
                             if (const auto audience = ReadAudience(request.audience()); !audience)
                               return refuse(audience.error());
                             gate_.Attest(
                                 call->caller(),
                                 [this, call, request](const identity::SelectorSet& caller) {
                                   AskForJwt(call, caller, request);
                                 },
                                 refuse);
                           };
                           gate_.Read<Request>(std::move(bytes), attest, refuse);
                         });
}

void DelegatedService::AskForJwt(const std::shared_ptr<JwtCall>& call,
                                 const identity::SelectorSet& caller,
                                 const api::FetchJWTSVIDsRequest& request) {
  if (const grpc::Status status = Authorize(caller); !status.ok()) return call->Refuse(status);
  const auto audience = ReadAudience(request.audience());
  if (!audience) return call->Refuse(audience.error());
  const auto workload = WorkloadOf(request.selectors(), request.pid());
  if (!workload) return call->Refuse(workload.error());
  const bool taken = jwt_pool_.Submit([this, call, audience = *audience, workload = *workload] {
    AnswerJwt(call, audience, workload);
  });
  if (!taken) call->Refuse(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull));
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
  call->End(grpc::Status::OK, response);
}

}  // namespace signet::agent
