// Why a server refuses an agent, as values: what it says in PermissionDeniedDetails, and what the
// agent does about it.
#pragma once

#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kAgentBanned{"agent is banned"};
inline constexpr Reason kAgentNotAttested{"agent is not attested"};
inline constexpr Reason kAgentExpired{"agent SVID expired"};
inline constexpr Reason kAgentNotActive{"agent SVID is not the active one"};
inline constexpr Reason kAgentMustReattest{"agent must attest again"};
inline constexpr Reason kAttestationRefused{"node attestation refused"};
inline constexpr Reason kNoProof{"nothing to attest this node with"};

enum class DenialAnswer {
  kNone,      // no denial
  kErase,     // banned or evicted: everything held must go
  kReattest,  // what is held stays good while it lasts; only a new attestation brings more
};

inline DenialAnswer AnswerTo(const Error& error) {
  if (error.reason == kAgentBanned || error.reason == kAgentNotAttested)
    return DenialAnswer::kErase;
  if (error.reason == kAgentExpired || error.reason == kAgentNotActive ||
      error.reason == kAgentMustReattest)
    return DenialAnswer::kReattest;
  return DenialAnswer::kNone;
}

}  // namespace signet::agent
