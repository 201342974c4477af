// The way in for calls: they are counted on the socket's loop, and who calls is attested away from
// it.
//
// Threads: safe from any thread.
#pragma once

#include <grpcpp/support/status.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/endpoints/arrival.h"
#include "agent/endpoints/decision_log.h"
#include "agent/workload/attestation_pool.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/metrics.h"
#include "identity/spiffe/selector.h"

namespace signet::agent {

// Requests up to so many bytes are read on the loop.
inline constexpr std::size_t kQuickRequest = 16 * 1024;

using CallerAttestor = std::function<Result<identity::SelectorSet>(const net::PeerCredentials&)>;

// What attests, and is told of; outlives every gate.
struct Attestation {
  AttestationPool& pool;
  CallerAttestor attest;
  const Clock& clock;
  const Logger& log;
  Metrics& metrics;
  // What entries grant to these selectors now; for the log.
  std::function<WorkloadView(const identity::SelectorSet&)> view;
};

// Counts refusals by code and reason (refusal.h), and those this gate makes by their own.
class RefusalCounters {
 public:
  explicit RefusalCounters(Metrics& metrics);
  void Count(const grpc::Status& status);
  // A caller that could not be attested, or was not even tried to be.
  void CountAttestation(const Error& error);

 private:
  struct Calls {
    std::map<std::string_view, Counter*> by_reason;
    Counter* other = nullptr;
  };
  std::map<int, Calls> calls_;  // by status code
  std::map<std::string_view, Counter*> by_reason_;
  Counter* other_reason_;
};

class CallerGate {
 public:
  CallerGate(CallerTable& callers, const Attestation& attestation, RefusalCounters& refusals);

  struct Admission {
    CallerPtr caller;
    CallerTable::StreamSlot slot;
    std::shared_ptr<net::RpcCall> call;
  };
  // One call more of this caller; UNAVAILABLE at a limit.
  tl::expected<Admission, grpc::Status> Admit(const Arrival& arrival);
  // A call that ends before it began, counted.
  std::shared_ptr<net::RpcHandler> Refuse(net::RpcCall& call, const grpc::Status& status);

  using Attested = std::function<void(identity::SelectorSet)>;
  using Refused = std::function<void(const grpc::Status&)>;
  // Calls one of the two, later and on another thread; `refused` maybe at once. Neither is called
  // when the agent stops first.
  void Attest(const CallerPtr& caller, Attested attested, Refused refused);
  // The same for some process a delegate names. Blocks: not on the loop.
  tl::expected<identity::SelectorSet, grpc::Status> AttestNow(const net::PeerCredentials& peer);

  // The request in these bytes, or that they are none: at once, or on the threads that attest when
  // it is so long that reading it would hold up the loop.
  template <class Request>
  void Read(std::string bytes, std::function<void(const Request&)> read, const Refused& refused) {
    const std::size_t size = bytes.size();
    Run(
        size,
        [bytes = std::move(bytes), read = std::move(read), refused] {
          Request request;
          request.ParseFromString(bytes) ? read(request) : refused(MalformedRequest());
        },
        refused);
  }

 private:
  void Run(std::size_t size, std::function<void()> work, const Refused& refused);

  CallerTable& callers_;
  const Attestation& attestation_;
  RefusalCounters& refusals_;
  LogLimiter failure_lines_;
  DecisionLog decisions_;
};

}  // namespace signet::agent
