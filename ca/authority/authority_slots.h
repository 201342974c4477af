// Which authority is in use: pure questions over two slots, time passed in, shared by X.509 and JWT
// authorities. As SPIRE: the next is prepared at half life and activated at five sixths; here
// activation also waits until the verifiers hold it, which the caller says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace signet::ca {

enum class AuthorityState { kPrepared, kActive, kOld };
std::string_view AuthorityStateName(AuthorityState state);

// One authority as the journal keeps it.
struct AuthoritySlot {
  std::string id;      // subject key id in hex, or JWT key id
  std::string key_id;  // name in the KeyStore: "x509-CA-A"
  AuthorityState state = AuthorityState::kPrepared;
  WallTime issued_at;
  WallTime not_after;
  bool tainted = false;
};

// Remaining life below which the next authority is prepared: min(lifetime / 2, 30 d).
Duration PrepareThreshold(const AuthoritySlot& active);
// … below which the prepared one takes over: min(lifetime / 6, 7 d).
Duration ActivateThreshold(const AuthoritySlot& active);
bool ShouldPrepare(const AuthoritySlot& active, WallTime now);
bool ShouldActivate(const AuthoritySlot& active, WallTime now);

struct SlotDecision {
  enum class Step {
    kNothing,
    kPrepareAndActivate,
    kPrepare,
    kActivate,
    kWaitForVerifiers
  } step = Step::kNothing;
  // Old authorities whose end has passed by the prune margin (24 h, or the lifetime if shorter):
  // remove.
  std::vector<std::string> prune;
};

// `acknowledged`: every live verifier holds the prepared authority. Past the active one's last safe
// moment (when it could no longer sign a minimal SVID) activation no longer waits.
SlotDecision DecideSlots(const std::vector<AuthoritySlot>& slots, WallTime now, bool acknowledged);

// The largest leaf TTL a rotation never cuts: min(lifetime / 6, 7 d).
Duration MaxUncutTtl(Duration authority_lifetime);

}  // namespace signet::ca
