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

void SdsService::Register(CallTable* calls) {
  const std::string service = std::string("/") + kSecretDiscovery + "/";
  calls->Add(service + "StreamSecrets",
             [this](const Arrival& arrival) { return Open<SecretStream>(arrival); });
  calls->Add(service + "DeltaSecrets",
             [this](const Arrival& arrival) { return Open<DeltaSecretStream>(arrival); });
  calls->Add(service + "FetchSecrets",
             [this](const Arrival& arrival) { return FetchSecrets(arrival); });
}

template <class Stream>
std::shared_ptr<net::RpcHandler> SdsService::Open(const Arrival& arrival) {
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  auto stream = std::make_shared<Stream>(context_, *std::move(admission));
  arrival.call->Read();
  gate_.Attest(
      stream->caller(),
      [stream](const identity::SelectorSet& selectors) { stream->Begin(selectors); },
      [stream](const grpc::Status& status) { stream->Refuse(status); });
  return stream;
}

std::shared_ptr<net::RpcHandler> SdsService::FetchSecrets(const Arrival& arrival) {
  using Request = envoy::service::discovery::v3::DiscoveryRequest;
  using Response = envoy::service::discovery::v3::DiscoveryResponse;
  using CallPtr = std::shared_ptr<PendingCall<Response>>;
  auto admission = gate_.Admit(arrival);
  if (!admission) return gate_.Refuse(*arrival.call, admission.error());
  return PendingCall<Response>::Create(
      context_.streams, *std::move(admission), [this](const CallPtr& call, std::string bytes) {
        const auto refuse = [call](const grpc::Status& status) { call->Refuse(status); };
        const auto follow = [this, call](const Request& asked,
                                         const identity::SelectorSet& selectors) {
          call->Follow([this, asked, selectors](const Snapshot& snapshot, WallTime now) {
            return AnswerSecrets(ViewFor(snapshot, selectors, now, EqualHints::kAll), asked,
                                 options_);
          });
        };
        gate_.Read<Request>(
            std::move(bytes),
            [this, call, follow, refuse](const Request& asked) {
              gate_.Attest(
                  call->caller(),
                  [follow, asked](const identity::SelectorSet& selectors) {
                    follow(asked, selectors);
                  },
                  refuse);
            },
            refuse);
      });
}

}  // namespace signet::agent
