// signet.nested.v1.Nested: what servers below say that their agents hold. A rotation here waits for
// verifiers there, as it does for agents.
//
// Kept in memory: after a start every server below is waited for until it had the time to report
// again.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "identity/server/authority_keeper.h"
#include "signet/nested/v1/nested.pb.h"

namespace signet::identity {

inline constexpr Reason kReportMalformed{"malformed report of held authorities"};
inline constexpr Reason kReportsTooMany{"too many servers below"};

class NestedService {
 public:
  // Both outlive it.
  NestedService(Registry& registry, const Clock& clock);
  void Register(Router* router);

  // Fails with kReportMalformed or kReportsTooMany; what was reported before stays then.
  Status Record(const SpiffeId& server, WallTime valid_until,
                const signet::nested::v1::ReportHeldRequest& report);
  // Adds the servers below to those whose agents are counted in `held` already.
  Acknowledgement Of(const std::string& authority_id, Acknowledgement held) const;

 private:
  struct Report {
    SpiffeId server;
    WallTime valid_until;
    std::set<std::string, std::less<>> authorities;
  };
  bool IsSomebodyUnheard() const;

  Registry& registry_;
  const Clock& clock_;
  const SteadyTime heard_all_at_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Report> reports_;  // by SPIFFE ID and instance
};

}  // namespace signet::identity
