// Somebody who can say something about a process: one kind of selectors. The unix attestor is
// always asked (unix_attestor.h); these come beside it when they are configured.
#pragma once

#include <string_view>
#include <vector>

#include "base/clock.h"
#include "identity/spiffe/selector.h"
#include "net/peer_credentials.h"

namespace signet::agent {

class WorkloadAttestor {
 public:
  virtual ~WorkloadAttestor() = default;
  // As in the configuration, and the type of its selectors.
  virtual std::string_view name() const = 0;
  // Called by several threads at once. May block until about `deadline`. No selectors: the process
  // is not of its kind. An error is only for what should have worked: it is counted and logged, and
  // the other attestors' selectors count all the same.
  //
  // What is read under /proc/PID is believed by the caller of this only if the process is alive
  // afterwards: its pidfd keeps the number from meaning another one till then.
  virtual Result<std::vector<identity::Selector>> Attest(const net::PeerCredentials& peer,
                                                         SteadyTime deadline) = 0;
};

}  // namespace signet::agent
