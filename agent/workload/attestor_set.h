// All attestors of workloads as one: they work at the same time, each with a deadline. One that
// fails is named in the log, in a metric and in the agent's status, and takes from the others
// nothing; what it would have said is missing, and fewer selectors grant less.
//
// The unix attestor decides whether the caller is who connected: without its word there is none.
//
// Threads: safe from any thread. Attest() blocks, at most a deadline long.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/workload/attestation_pool.h"
#include "agent/workload/attestor_record.h"
#include "agent/workload/unix_attestor.h"
#include "agent/workload/workload_attestor.h"
#include "base/log.h"
#include "base/log_limit.h"

namespace signet::agent {

inline constexpr Reason kAttestorLate{"no answer in time"};
inline constexpr Reason kAttestorBusy{"too many callers at once"};

class AttestorSet {
 public:
  AttestorSet(UnixAttestor& unix_attestor, std::vector<std::unique_ptr<WorkloadAttestor>> others,
              Duration timeout, const Clock& clock, const Logger& log, Metrics& metrics);
  ~AttestorSet();

  // Fails as UnixAttestor::Attest(), and with kCallerGone when the process ended meanwhile.
  Result<identity::SelectorSet> Attest(const net::PeerCredentials& peer);
  std::vector<AttestorRecord> Records() const;

 private:
  // One attestor at work for one caller. Shared with its thread, which may outlast the wait.
  struct Call;
  struct Member {
    Member(std::string name, const Clock& clock, Metrics& metrics);
    Histogram& latency;
    Counter& failed;
    LogLimiter lines;
    AttestorRecord record;  // guarded by mutex_
  };
  using Selectors = Result<std::vector<identity::Selector>>;

  std::shared_ptr<Call> Begin(std::size_t index, const net::PeerCredentials& peer,
                              SteadyTime deadline);
  Selectors Await(Call& call) const;
  void Note(Member& member, const net::PeerCredentials& peer, const Error* error);

  UnixAttestor& unix_attestor_;
  const std::vector<std::unique_ptr<WorkloadAttestor>> others_;
  const Duration timeout_;
  const Clock& clock_;
  const Logger& log_;
  std::vector<std::unique_ptr<Member>> members_;  // the unix attestor, then others_
  mutable std::mutex mutex_;
  AttestationPool pool_;  // last: its threads end first
};

}  // namespace signet::agent
