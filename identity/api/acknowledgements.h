// Which state each agent is known to hold: the evidence a rotation waits for. An agent on the push
// stream says what it has applied. One that polls as SPIRE's agents do acknowledges by being
// answered: who was given the own bundle (GetBundle), or reports its serial (PostStatus), is
// counted as holding it.
//
// Kept in memory: after a restart agents subscribe or poll again and so acknowledge again.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>
#include <unordered_map>

#include "identity/registry/registry.h"
#include "identity/server/authority_keeper.h"

namespace signet::identity {

class Acknowledgements {
 public:
  Acknowledgements(Registry& registry, const Clock& clock) : registry_(registry), clock_(clock) {}

  // The agent holds everything up to `revision`.
  void Record(const SpiffeId& agent, Revision revision);
  // The agent holds the own bundle with this sequence number.
  void RecordBundleSerial(const SpiffeId& agent, std::uint64_t sequence_number);
  void Forget(const SpiffeId& agent);

  // Over the agents that count: attested, not banned, with an SVID that has not ended; connected or
  // not, since one that is away may serve workloads from what it holds.
  Acknowledgement Of(Revision published_at) const;

 private:
  Registry& registry_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<SpiffeId, Revision> held_;
};

}  // namespace signet::identity
