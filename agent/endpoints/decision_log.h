// One line for each caller that was attested: who it is, by which kinds of selectors, and which
// identities entries grant it. Selectors are told by their names alone: what follows may be a
// secret (docker:env).
//
// Threads: safe from any thread.
#pragma once

#include <string>

#include "agent/cache/workload_view.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "net/peer_credentials.h"

namespace signet::agent {

// "docker:label,unix:gid,unix:uid": each name once, in order; of a value without parts the type
// alone.
std::string SelectorNames(const identity::SelectorSet& selectors);
// "spiffe://example.org/a,spiffe://example.org/b"; many are counted: "…,…,…,… and 12 more".
std::string GrantedNames(const WorkloadView& view);

class DecisionLog {
 public:
  // Both outlive this.
  DecisionLog(const Clock& clock, const Logger& log);
  bool IsOn() const { return log_.level() <= LogLevel::kInfo; }
  void Note(const net::PeerCredentials& caller, const identity::SelectorSet& selectors,
            const WorkloadView& view);

 private:
  const Logger& log_;
  LogLimiter lines_;  // any local user can cause them
};

}  // namespace signet::agent
