// The way in for calls: who calls is looked up and counted on gRPC's thread, and attested away from
// it.
//
// Threads: safe from any thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>

#include "agent/endpoints/caller_table.h"
#include "agent/endpoints/decision_log.h"
#include "agent/endpoints/update_stream.h"
#include "agent/workload/attestation_pool.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/metrics.h"
#include "identity/spiffe/selector.h"

namespace signet::agent {

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
  };
  // One call more of whoever is on the other end; UNAVAILABLE at a limit.
  tl::expected<Admission, grpc::Status> Admit(const grpc::CallbackServerContext& context);

  using Attested = std::function<void(identity::SelectorSet)>;
  using Refused = std::function<void(const grpc::Status&)>;
  // Calls one of the two, later and on another thread; `refused` maybe at once. Neither is called
  // when the agent stops first.
  void Attest(const CallerPtr& caller, Attested attested, Refused refused);
  // The same for some process a delegate names. Blocks: not on gRPC's threads.
  tl::expected<identity::SelectorSet, grpc::Status> AttestNow(const net::PeerCredentials& peer);

  // A stream or call that ends before it began, counted.
  template <class Reactor>
  Reactor* RefuseStream(const grpc::Status& status) {
    refusals_.Count(status);
    return new RefusedStream<Reactor>(status);
  }
  grpc::ServerUnaryReactor* RefuseUnary(grpc::CallbackServerContext* context,
                                        const grpc::Status& status);

 private:
  CallerTable& callers_;
  const Attestation& attestation_;
  RefusalCounters& refusals_;
  LogLimiter failure_lines_;
  DecisionLog decisions_;
};

}  // namespace signet::agent
