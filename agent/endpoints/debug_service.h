// SPIRE's debug API of an agent: figures and the agent's own certificate chain. The answer is made
// anew every few seconds only, as in SPIRE: whoever polls costs little.
//
// Threads: safe from any thread.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

#include "agent/endpoints/call_table.h"
#include "ca/x509/certificate.h"
#include "spire/agent/debug/v1/debug.pb.h"

namespace signet::agent {

struct AgentFigures {
  ca::Chain chain;                     // the agent's SVID
  std::vector<ca::Certificate> roots;  // of the own bundle
  std::size_t x509_svids = 0;
  std::size_t jwt_svids = 0;
  std::optional<WallTime> last_sync;  // when the server last agreed with what is held
};

class DebugService {
 public:
  DebugService(std::function<AgentFigures()> figures, const Clock& clock);
  // Answers are made on `pool`.
  void Register(CallTable* calls, AttestationPool& pool);

 private:
  spire::agent::debug::v1::GetInfoResponse Recent();
  spire::agent::debug::v1::GetInfoResponse Compose() const;

  const std::function<AgentFigures()> figures_;
  const Clock& clock_;
  const SteadyTime started_at_;
  std::mutex mutex_;  // guards what follows
  std::optional<SteadyTime> composed_at_;
  spire::agent::debug::v1::GetInfoResponse composed_;
};

}  // namespace signet::agent
