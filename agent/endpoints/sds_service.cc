#include "agent/endpoints/sds_service.h"

namespace signet::agent {
namespace {

constexpr std::uint32_t kNackLinesPerSecond = 5;

}  // namespace

SdsService::SdsService(StreamContext& streams, CallerGate& gate, const SdsOptions& options,
                       Random& random, const Logger& log)
    : gate_(gate),
      options_(options),
      nack_lines_(streams.clock, kNackLinesPerSecond),
      context_{streams, options_, random, log, nack_lines_} {}

template <class Stream, class Reactor>
Reactor* SdsService::Open(grpc::CallbackServerContext* context) {
  auto admission = gate_.Admit(*context);
  if (!admission) return gate_.RefuseStream<Reactor>(admission.error());
  auto stream = Stream::Create(context_, std::move(admission->caller), std::move(admission->slot));
  gate_.Attest(
      stream->caller(),
      [stream](const identity::SelectorSet& selectors) { stream->Begin(selectors); },
      [stream](const grpc::Status& status) { stream->Refuse(status); });
  return stream.get();
}

SecretReactor* SdsService::StreamSecrets(grpc::CallbackServerContext* context) {
  return Open<SecretStream, SecretReactor>(context);
}

DeltaSecretReactor* SdsService::DeltaSecrets(grpc::CallbackServerContext* context) {
  return Open<DeltaSecretStream, DeltaSecretReactor>(context);
}

grpc::ServerUnaryReactor* SdsService::FetchSecrets(
    grpc::CallbackServerContext* context,
    const envoy::service::discovery::v3::DiscoveryRequest* request,
    envoy::service::discovery::v3::DiscoveryResponse* response) {
  using Response = envoy::service::discovery::v3::DiscoveryResponse;
  auto admission = gate_.Admit(*context);
  if (!admission) return gate_.RefuseUnary(context, admission.error());
  auto call = PendingCall<Response>::Create(context_.streams, std::move(admission->caller),
                                            std::move(admission->slot), response);
  gate_.Attest(
      call->caller(),
      [this, call, asked = *request](identity::SelectorSet selectors) {
        call->Follow([this, asked, selectors = std::move(selectors)](const Snapshot& snapshot,
                                                                     WallTime now) {
          return AnswerSecrets(ViewFor(snapshot, selectors, now, EqualHints::kAll), asked,
                               options_);
        });
      },
      [call](const grpc::Status& status) { call->Refuse(status); });
  return call.get();
}

}  // namespace signet::agent
