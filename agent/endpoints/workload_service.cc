#include "agent/endpoints/workload_service.h"

#include "agent/endpoints/refusal.h"

namespace signet::agent {
namespace {

// Workload Endpoint, 3: exactly one value, byte for byte.
grpc::Status CheckSecurityHeader(const net::RpcCall& call) {
  if (call.Field(kSecurityHeader) == std::vector<std::string>{"true"}) return grpc::Status::OK;
  return Refusal(grpc::StatusCode::INVALID_ARGUMENT, kNoSecurityHeader);
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

void WorkloadService::Register(CallTable* calls) {
  const auto add = [calls](const char* method, auto open) {
    calls->Add(std::string("/SpiffeWorkloadAPI/") + method, open);
  };
  add("FetchX509SVID", [this](const Arrival& arrival) {
    return Open<X509SVIDRequest, X509SVIDResponse>(arrival, &AnswerX509Svid);
  });
  add("FetchX509Bundles", [this](const Arrival& arrival) {
    return Open<X509BundlesRequest, X509BundlesResponse>(arrival, [this](const WorkloadView& view) {
      return AnswerX509Bundles(view, unregistered_);
    });
  });
  add("FetchJWTBundles", [this](const Arrival& arrival) {
    return Open<JWTBundlesRequest, JWTBundlesResponse>(arrival, [this](const WorkloadView& view) {
      return AnswerJwtBundles(view, unregistered_);
    });
  });
  add("FetchJWTSVID", [this](const Arrival& arrival) { return FetchJwtSvid(arrival); });
  add("ValidateJWTSVID", [this](const Arrival& arrival) { return ValidateJwtSvid(arrival); });
  add("FetchWITSVID", [this](const Arrival& arrival) {
    return Unimplemented(arrival, "fetching WIT-SVIDs is not implemented");
  });
  add("FetchWITBundles", [this](const Arrival& arrival) {
    return Unimplemented(arrival, "fetching WIT bundles is not implemented");
  });
  calls->Add("/signet.mesh.v1.Mesh/Watch", [this](const Arrival& arrival) {
    return Open<signet::mesh::v1::WatchRequest, signet::mesh::v1::WatchResponse>(arrival,
                                                                                 &AnswerDenials);
  });
}

template <class Request, class Response>
WorkloadService::Handler WorkloadService::Open(const Arrival& arrival,
                                               ViewEncoder<Response> encode) {
  using StreamPtr = std::shared_ptr<UpdateStream<Response>>;
  if (const grpc::Status header = CheckSecurityHeader(*arrival.call); !header.ok())
    return gate_.Refuse(*arrival.call, header);
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  return UpdateStream<Response>::Create(
      streams_, *std::move(admission),
      [this, encode = std::move(encode)](const StreamPtr& stream, std::string bytes) {
        const auto refuse = [stream](const grpc::Status& status) { stream->Refuse(status); };
        const auto begin = [stream, encode](const identity::SelectorSet& selectors) {
          stream->Begin(selectors, OfView<Response>(selectors, encode));
        };
        gate_.Read<Request>(
            std::move(bytes),
            [this, stream, begin, refuse](const Request&) {
              gate_.Attest(stream->caller(), begin, refuse);
            },
            refuse);
      });
}

WorkloadService::Handler WorkloadService::Unimplemented(const Arrival& arrival,
                                                        const char* message) {
  const grpc::Status header = CheckSecurityHeader(*arrival.call);
  return gate_.Refuse(
      *arrival.call, header.ok() ? grpc::Status(grpc::StatusCode::UNIMPLEMENTED, message) : header);
}

WorkloadService::Handler WorkloadService::FetchJwtSvid(const Arrival& arrival) {
  using CallPtr = std::shared_ptr<PendingCall<JWTSVIDResponse>>;
  if (const grpc::Status header = CheckSecurityHeader(*arrival.call); !header.ok())
    return gate_.Refuse(*arrival.call, header);
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  return PendingCall<JWTSVIDResponse>::Create(
      streams_, *std::move(admission), [this](const CallPtr& call, std::string bytes) {
        const auto refuse = [call](const grpc::Status& status) { call->Refuse(status); };
        const auto ask = [this, call](const JwtQuestion& question,
                                      const identity::SelectorSet& selectors) {
          if (!jwt_pool_.Submit([=, this] { AnswerJwt(call, question, selectors); }))
            call->Refuse(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull));
        };
        const auto read = [this, call, ask, refuse](const JWTSVIDRequest& request) {
          const auto question = ReadQuestion(request);
          if (!question) return refuse(question.error());
          gate_.Attest(
              call->caller(),
              [ask, question = *question](const identity::SelectorSet& selectors) {
                ask(question, selectors);
              },
              refuse);
        };
        gate_.Read<JWTSVIDRequest>(std::move(bytes), read, refuse);
      });
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
  call->End(grpc::Status::OK, response);
}

WorkloadService::Handler WorkloadService::ValidateJwtSvid(const Arrival& arrival) {
  using CallPtr = std::shared_ptr<PendingCall<ValidateJWTSVIDResponse>>;
  if (const grpc::Status header = CheckSecurityHeader(*arrival.call); !header.ok())
    return gate_.Refuse(*arrival.call, header);
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  return PendingCall<ValidateJWTSVIDResponse>::Create(
      streams_, *std::move(admission), [this](const CallPtr& call, std::string bytes) {
        const auto refuse = [call](const grpc::Status& status) { call->Refuse(status); };
        const auto validate = [this, call](const ValidateJWTSVIDRequest& request,
                                           const identity::SelectorSet& selectors) {
          const WallTime now = streams_.clock.Now();
          const auto answer = ValidateJwt(ViewFor(*streams_.cache.Current(), selectors, now),
                                          request, now, foreign_claims_);
          if (!answer) return call->Refuse(answer.error());
          call->End(grpc::Status::OK, *answer);
        };
        gate_.Read<ValidateJWTSVIDRequest>(
            std::move(bytes),
            [this, call, validate, refuse](const ValidateJWTSVIDRequest& request) {
              gate_.Attest(
                  call->caller(),
                  [validate, request](const identity::SelectorSet& selectors) {
                    validate(request, selectors);
                  },
                  refuse);
            },
            refuse);
      });
}

}  // namespace signet::agent
