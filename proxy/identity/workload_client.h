// The proxy's end of the SPIFFE Workload API: one FetchX509SVID stream over the agent's Unix
// socket, opened again with full jitter whenever it ends. What it last answered stays in force
// while the agent is away; only PermissionDenied withdraws it.
//
// Threads: Start() makes one thread; the observer is called on it.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "proxy/identity/identity_snapshot.h"

namespace signet::proxy {

inline constexpr Reason kIdentityDenied{"the agent grants this process no identity"};
inline constexpr Reason kAgentAway{"the agent does not answer"};

class IdentityObserver {
 public:
  virtual ~IdentityObserver() = default;
  // Another identity or other bundles than before; never null.
  virtual void OnIdentity(IdentityPtr snapshot) = 0;
  // The agent says that this process has no identity (any more).
  virtual void OnIdentityWithdrawn(const Error& why) = 0;
  // The stream ended or an answer was unusable; the last identity stays. It is tried again.
  virtual void OnAgentTrouble(const Error& why) = 0;
  // An answer came that changed nothing: the agent is back.
  virtual void OnAgentBack() = 0;
};

struct WorkloadClientOptions {
  std::string socket_path;
  Duration first_retry = std::chrono::milliseconds(250);
  Duration longest_retry = std::chrono::seconds(5);
};

class WorkloadClient {
 public:
  // All references outlive this; `observer` is called from Start() until the destructor returns.
  static std::unique_ptr<WorkloadClient> Start(WorkloadClientOptions options,
                                               IdentityObserver& observer, const Clock& clock,
                                               Random& random, Metrics& metrics);
  // Ends the stream and joins the thread.
  ~WorkloadClient();

 private:
  struct State;
  explicit WorkloadClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::proxy
