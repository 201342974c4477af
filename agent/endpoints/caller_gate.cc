#include "agent/endpoints/caller_gate.h"

#include "agent/workload/unix_attestor.h"

namespace signet::agent {
namespace {

constexpr Reason kTooManyCallers{"too many callers at once"};
constexpr std::uint32_t kFailureLinesPerSecond = 10;  // any local user can cause them

constexpr Reason kUnknownConnection{"connection not known"};

grpc::Status NotAttested() {
  return {grpc::StatusCode::UNAVAILABLE, "workload attestation failed"};
}

}  // namespace

RefusalCounters::RefusalCounters(Metrics& metrics) {
  for (const auto& [code, name] :
       std::map<int, std::string>{{grpc::INVALID_ARGUMENT, "invalid_argument"},
                                  {grpc::PERMISSION_DENIED, "permission_denied"},
                                  {grpc::UNAVAILABLE, "unavailable"},
                                  {grpc::UNIMPLEMENTED, "unimplemented"}})
    by_code_[code] = &metrics.Counter("signet_agent_workload_refusals_total",
                                      "Calls to the agent's sockets that ended with this status",
                                      {{"code", name}});
  const auto counter = [&](const char* reason) {
    return &metrics.Counter("signet_agent_attestation_failures_total",
                            "Callers that could not be attested", {{"reason", reason}});
  };
  by_reason_ = {{kCallerGone.text, counter("caller_gone")},
                {kCallerChanged.text, counter("caller_changed")},
                {kCallerUnreadable.text, counter("caller_unreadable")},
                {kUnknownConnection.text, counter("unknown_connection")},
                {kTooManyStreams.text, counter("too_many_streams")},
                {kTooManyCallers.text, counter("too_many_callers")}};
  other_reason_ = counter("other");
}

void RefusalCounters::CountAttestation(const Error& error) {
  const auto found = by_reason_.find(error.reason.text);
  (found != by_reason_.end() ? found->second : other_reason_)->Add();
}

void RefusalCounters::Count(const grpc::Status& status) {
  if (const auto found = by_code_.find(status.error_code()); found != by_code_.end())
    found->second->Add();
}

CallerGate::CallerGate(CallerTable& callers, const Attestation& attestation,
                       RefusalCounters& refusals)
    : callers_(callers),
      attestation_(attestation),
      refusals_(refusals),
      failure_lines_(attestation.clock, kFailureLinesPerSecond) {}

tl::expected<CallerGate::Admission, grpc::Status> CallerGate::Admit(
    const grpc::CallbackServerContext& context) {
  CallerPtr caller = callers_.Find(context.peer());
  if (!caller) {
    refusals_.CountAttestation(Error{Code::kUnavailable, kUnknownConnection, {}});
    return tl::unexpected(NotAttested());
  }
  auto slot = callers_.TakeStream(caller);
  if (!slot) {
    refusals_.CountAttestation(Error{Code::kUnavailable, kTooManyStreams, {}});
    return tl::unexpected(
        grpc::Status(grpc::StatusCode::UNAVAILABLE, "too many streams of this user"));
  }
  return Admission{std::move(caller), std::move(*slot)};
}

tl::expected<identity::SelectorSet, grpc::Status> CallerGate::AttestNow(
    const net::PeerCredentials& peer) {
  auto selectors = attestation_.attest(peer);
  if (selectors) return *std::move(selectors);
  refusals_.CountAttestation(selectors.error());
  if (const auto left_out = failure_lines_.Admit())
    attestation_.log.Warn("workload attestation failed", {{"pid", peer.pid},
                                                          {"uid", peer.uid},
                                                          {"error", selectors.error().Message()},
                                                          {"not_listed_before", *left_out}});
  return tl::unexpected(NotAttested());
}

void CallerGate::Attest(const CallerPtr& caller, Attested attested, Refused refused) {
  const bool taken = attestation_.pool.Submit([this, caller, attested, refused] {
    auto selectors = AttestNow(caller->credentials);
    if (selectors) return attested(*std::move(selectors));
    refused(selectors.error());
  });
  if (taken) return;
  refusals_.CountAttestation(Error{Code::kUnavailable, kTooManyCallers, {}});
  refused({grpc::StatusCode::UNAVAILABLE, "too many callers at once"});
}

grpc::ServerUnaryReactor* CallerGate::RefuseUnary(grpc::CallbackServerContext* context,
                                                  const grpc::Status& status) {
  refusals_.Count(status);
  auto* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

}  // namespace signet::agent
