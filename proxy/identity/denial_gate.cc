#include "proxy/identity/denial_gate.h"

namespace signet::proxy {

void DenialGate::OnIdentity(IdentityPtr snapshot) {
  const std::lock_guard lock(mutex_);
  held_ = std::move(snapshot);
  if (open_) LetThrough();
}

void DenialGate::OnIdentityWithdrawn(const Error& why) {
  const std::lock_guard lock(mutex_);
  held_ = nullptr;
  in_force_ = false;
  proxy_.OnIdentityWithdrawn(why);
  CloseUnlessNeeded();
}

void DenialGate::OnDenials(identity::DenialSetPtr denials) {
  const std::lock_guard lock(mutex_);
  answered_ = true;
  said_trouble_ = false;
  log_.Info("denials", {{"count", denials->all().size()}});
  deny_(std::move(denials));
  Open();
}

void DenialGate::OnNoDenials() {
  const std::lock_guard lock(mutex_);
  if (!open_)
    log_.Warn("the agent does not say who is revoked: only the ends of SVIDs and the rules count");
  answered_ = true;
  Open();
}

void DenialGate::OnDenialTrouble(const Error& why) {
  const std::lock_guard lock(mutex_);
  answered_ = false;
  CloseUnlessNeeded();
  if (!open_) proxy_.OnAgentTrouble(why);  // what keeps the proxy from being ready
  if (!std::exchange(said_trouble_, true))
    log_.Warn("it is not heard who is revoked now; what was heard last counts",
              {{"why", why.Message()}});
}

void DenialGate::Open() {
  open_ = true;
  if (held_) LetThrough();
}

void DenialGate::LetThrough() {
  in_force_ = true;
  proxy_.OnIdentity(std::exchange(held_, nullptr));
}

// Nothing is served, and what was heard grows old: the next identity waits for news again.
void DenialGate::CloseUnlessNeeded() {
  if (!in_force_ && !answered_) open_ = false;
}

}  // namespace signet::proxy
