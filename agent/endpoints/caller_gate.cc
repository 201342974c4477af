#include "agent/endpoints/caller_gate.h"

#include <array>
#include <utility>

#include "agent/endpoints/refusal.h"
#include "agent/workload/unix_attestor.h"

namespace signet::agent {
namespace {

constexpr Reason kTooManyCallers{"too many callers at once"};
constexpr std::uint32_t kFailureLinesPerSecond = 10;  // any local user can cause them

constexpr std::array<std::pair<grpc::StatusCode, const char*>, 4> kCountedCodes = {
    {{grpc::INVALID_ARGUMENT, "invalid_argument"},
     {grpc::PERMISSION_DENIED, "permission_denied"},
     {grpc::UNAVAILABLE, "unavailable"},
     {grpc::UNIMPLEMENTED, "unimplemented"}}};

grpc::Status NotAttested() { return Refusal(grpc::StatusCode::UNAVAILABLE, kAttestationFailed); }

}  // namespace

RefusalCounters::RefusalCounters(Metrics& metrics) {
  for (const auto& [code, name] : kCountedCodes) {
    const auto counter = [&](std::string_view reason) {
      return &metrics.Counter("signet_agent_workload_refusals_total",
                              "Calls to the agent's sockets that ended with this status, and why",
                              {{"code", name}, {"reason", std::string(reason)}});
    };
    Calls& calls = calls_[code];
    for (const CountedReason& counted : kCountedReasons)
      if (counted.code == code) calls.by_reason[counted.reason.text] = counter(counted.label);
    calls.other = counter("other");
  }
  const auto counter = [&](const char* reason) {
    return &metrics.Counter("signet_agent_attestation_failures_total",
                            "Callers that could not be attested", {{"reason", reason}});
  };
  by_reason_ = {{kCallerGone.text, counter("caller_gone")},
                {kCallerChanged.text, counter("caller_changed")},
                {kCallerUnreadable.text, counter("caller_unreadable")},
                {kTooManyStreams.text, counter("too_many_streams")},
                {kTooManyCallers.text, counter("too_many_callers")}};
  other_reason_ = counter("other");
}

void RefusalCounters::CountAttestation(const Error& error) {
  const auto found = by_reason_.find(error.reason.text);
  (found != by_reason_.end() ? found->second : other_reason_)->Add();
}

void RefusalCounters::Count(const grpc::Status& status) {
  const auto calls = calls_.find(status.error_code());
  if (calls == calls_.end()) return;
  const std::string& text = status.error_message();
  const auto found = calls->second.by_reason.find(text.substr(0, text.find(": ")));
  (found != calls->second.by_reason.end() ? found->second : calls->second.other)->Add();
}

CallerGate::CallerGate(CallerTable& callers, const Attestation& attestation,
                       RefusalCounters& refusals)
    : callers_(callers),
      attestation_(attestation),
      refusals_(refusals),
      failure_lines_(attestation.clock, kFailureLinesPerSecond),
      decisions_(attestation.clock, attestation.log) {}

tl::expected<CallerGate::Admission, grpc::Status> CallerGate::Admit(const Arrival& arrival) {
  auto slot = callers_.TakeStream(arrival.caller);
  if (!slot) {
    refusals_.CountAttestation(Error{Code::kUnavailable, kTooManyStreams, {}});
    return tl::unexpected(Refusal(grpc::StatusCode::UNAVAILABLE, kStreamsUsedUp));
  }
  return Admission{arrival.caller, std::move(*slot), arrival.call};
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
    if (!selectors) return refused(selectors.error());
    attested(*selectors);
    // After it: whoever waits for an answer does not wait for the log.
    if (decisions_.IsOn())
      decisions_.Note(caller->credentials, *selectors, attestation_.view(*selectors));
  });
  if (taken) return;
  refusals_.CountAttestation(Error{Code::kUnavailable, kTooManyCallers, {}});
  refused(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull));
}

void CallerGate::Run(std::size_t size, std::function<void()> work, const Refused& refused) {
  if (size <= kQuickRequest) return work();
  if (!attestation_.pool.Submit(std::move(work)))
    refused(Refusal(grpc::StatusCode::UNAVAILABLE, kCallersQueueFull));
}

std::shared_ptr<net::RpcHandler> CallerGate::Refuse(net::RpcCall& call,
                                                    const grpc::Status& status) {
  refusals_.Count(status);
  call.Finish(ToRpcStatus(status));
  return std::make_shared<EndedCall>();
}

}  // namespace signet::agent
