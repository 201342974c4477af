#include "agent/endpoints/workload_service.h"

namespace signet::agent {
namespace {

constexpr std::uint32_t kFailureLinesPerSecond = 10;  // any local user can cause them

// Workload Endpoint, 3: exactly one value, byte for byte.
grpc::Status CheckSecurityHeader(const grpc::CallbackServerContext& context) {
  const auto [first, last] = context.client_metadata().equal_range("workload.spiffe.io");
  if (first != last && std::next(first) == last && first->second == "true") return grpc::Status::OK;
  return {grpc::StatusCode::INVALID_ARGUMENT, "security header missing from request"};
}

// `context` is checked before an answer that the profile is not there.
grpc::Status Unimplemented(const grpc::CallbackServerContext& context, const char* message) {
  const grpc::Status header = CheckSecurityHeader(context);
  return header.ok() ? grpc::Status(grpc::StatusCode::UNIMPLEMENTED, message) : header;
}

// A stream that ends before it began.
template <class Response>
class RefusedStream final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit RefusedStream(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

RefusalCounters::RefusalCounters(Metrics& metrics) {
  for (const auto& [code, name] :
       std::map<int, std::string>{{grpc::INVALID_ARGUMENT, "invalid_argument"},
                                  {grpc::PERMISSION_DENIED, "permission_denied"},
                                  {grpc::UNAVAILABLE, "unavailable"},
                                  {grpc::UNIMPLEMENTED, "unimplemented"}})
    by_code_[code] =
        &metrics.Counter("signet_agent_workload_refusals_total",
                         "Workload API calls that ended with this status", {{"code", name}});
}

void RefusalCounters::Count(const grpc::Status& status) {
  if (const auto found = by_code_.find(status.error_code()); found != by_code_.end())
    found->second->Add();
}

WorkloadService::WorkloadService(StreamContext& streams, CallerTable& callers,
                                 AttestationPool& pool, CallerAttestor attest, const Logger& log,
                                 Metrics& metrics, RefusalCounters& refusals)
    : streams_(streams),
      callers_(callers),
      pool_(pool),
      attest_(std::move(attest)),
      log_(log),
      failure_lines_(streams.clock, kFailureLinesPerSecond),
      attestation_failures_(metrics.Counter("signet_agent_attestation_failures_total",
                                            "Callers that could not be attested")),
      refusals_(refusals) {}

template <class Response>
grpc::ServerWriteReactor<Response>* WorkloadService::RefuseStream(const grpc::Status& status) {
  refusals_.Count(status);
  return new RefusedStream<Response>(status);
}

grpc::ServerUnaryReactor* WorkloadService::RefuseUnary(grpc::CallbackServerContext* context,
                                                       const grpc::Status& status) {
  refusals_.Count(status);
  auto* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

Result<identity::SelectorSet> WorkloadService::Attest(const Caller& caller) {
  auto selectors = attest_(caller.credentials);
  if (selectors) return selectors;
  attestation_failures_.Add();
  if (const auto left_out = failure_lines_.Admit())
    log_.Warn("workload attestation failed", {{"pid", caller.credentials.pid},
                                              {"uid", caller.credentials.uid},
                                              {"error", selectors.error().Message()},
                                              {"not_listed_before", *left_out}});
  return selectors;
}

template <class Response>
grpc::ServerWriteReactor<Response>* WorkloadService::Open(
    grpc::CallbackServerContext* context, typename UpdateStream<Response>::Encoder encode) {
  if (const grpc::Status header = CheckSecurityHeader(*context); !header.ok())
    return RefuseStream<Response>(header);
  CallerPtr caller = callers_.Find(context->peer());
  if (!caller)
    return RefuseStream<Response>({grpc::StatusCode::UNAVAILABLE, "workload attestation failed"});
  auto slot = callers_.TakeStream(caller->credentials.uid);
  if (!slot)
    return RefuseStream<Response>({grpc::StatusCode::UNAVAILABLE, "too many streams of this user"});
  auto stream =
      UpdateStream<Response>::Create(streams_, std::move(caller), std::move(*slot), encode);
  const bool taken = pool_.Submit([this, stream] {
    auto selectors = Attest(stream->caller());
    if (selectors) return stream->Begin(std::move(*selectors));
    stream->Refuse({grpc::StatusCode::UNAVAILABLE, "workload attestation failed"});
  });
  if (!taken) stream->Refuse({grpc::StatusCode::UNAVAILABLE, "too many callers at once"});
  return stream.get();
}

grpc::ServerWriteReactor<X509SVIDResponse>* WorkloadService::FetchX509SVID(
    grpc::CallbackServerContext* context, const X509SVIDRequest*) {
  return Open<X509SVIDResponse>(context, &AnswerX509Svid);
}

grpc::ServerWriteReactor<X509BundlesResponse>* WorkloadService::FetchX509Bundles(
    grpc::CallbackServerContext* context, const X509BundlesRequest*) {
  return Open<X509BundlesResponse>(context, &AnswerX509Bundles);
}

grpc::ServerUnaryReactor* WorkloadService::FetchJWTSVID(grpc::CallbackServerContext* context,
                                                        const JWTSVIDRequest*, JWTSVIDResponse*) {
  return RefuseUnary(context, Unimplemented(*context, "fetching JWT-SVIDs is not implemented"));
}

grpc::ServerWriteReactor<JWTBundlesResponse>* WorkloadService::FetchJWTBundles(
    grpc::CallbackServerContext* context, const JWTBundlesRequest*) {
  return RefuseStream<JWTBundlesResponse>(
      Unimplemented(*context, "fetching JWT bundles is not implemented"));
}

grpc::ServerUnaryReactor* WorkloadService::ValidateJWTSVID(grpc::CallbackServerContext* context,
                                                           const ValidateJWTSVIDRequest*,
                                                           ValidateJWTSVIDResponse*) {
  return RefuseUnary(context, Unimplemented(*context, "validating JWT-SVIDs is not implemented"));
}

grpc::ServerWriteReactor<WITSVIDResponse>* WorkloadService::FetchWITSVID(
    grpc::CallbackServerContext* context, const WITSVIDRequest*) {
  return RefuseStream<WITSVIDResponse>(
      Unimplemented(*context, "fetching WIT-SVIDs is not implemented"));
}

grpc::ServerWriteReactor<WITBundlesResponse>* WorkloadService::FetchWITBundles(
    grpc::CallbackServerContext* context, const WITBundlesRequest*) {
  return RefuseStream<WITBundlesResponse>(
      Unimplemented(*context, "fetching WIT bundles is not implemented"));
}

}  // namespace signet::agent
