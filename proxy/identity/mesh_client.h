// The proxy's end of signet.mesh.v1: one Watch stream over the agent's Unix socket, opened again
// with full jitter whenever it ends. The denials it last brought stay in force while the agent is
// away.
//
// Threads: Start() makes one thread; the observer is called on it.
#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/random.h"
#include "identity/svid/denial.h"

namespace signet::proxy {

inline constexpr Reason kDenialsUnusable{"the agent's denials do not parse"};
inline constexpr Reason kDenialsAway{"the agent does not say who is revoked"};

class DenialObserver {
 public:
  virtual ~DenialObserver() = default;
  // All there are now; never null.
  virtual void OnDenials(identity::DenialSetPtr denials) = 0;
  // The agent is of a kind that knows none.
  virtual void OnNoDenials() = 0;
  // The stream ended or an answer was unusable; what was heard last stays. It is tried again.
  virtual void OnDenialTrouble(const Error& why) = 0;
};

struct MeshClientOptions {
  std::string socket_path;
  Duration first_retry = std::chrono::milliseconds(100);
  Duration longest_retry = std::chrono::seconds(5);
};

class MeshClient {
 public:
  // All references outlive this; `observer` is called from Start() until the destructor returns.
  static std::unique_ptr<MeshClient> Start(MeshClientOptions options, DenialObserver& observer,
                                           Random& random, Metrics& metrics);
  // Ends the stream and joins the thread.
  ~MeshClient();

 private:
  struct State;
  explicit MeshClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::proxy
