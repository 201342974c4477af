// Holds an identity back until it is known who is revoked: a proxy that starts must not accept, for
// the moment between the two answers, whom it would refuse after it. So does one whose identity was
// withdrawn while nothing was heard. An agent that knows no denials lets the identity through.
//
// Threads: safe from any thread; what it tells is told in the order it was heard.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

#include "proxy/identity/mesh_client.h"
#include "proxy/identity/workload_client.h"

namespace signet::proxy {

class DenialGate final : public IdentityObserver, public DenialObserver {
 public:
  // `proxy` outlives this. `deny` makes denials count, and returns when they do.
  DenialGate(IdentityObserver& proxy, std::function<void(identity::DenialSetPtr)> deny,
             const Logger& log)
      : proxy_(proxy), deny_(std::move(deny)), log_(log) {}

  void OnIdentity(IdentityPtr snapshot) override;
  void OnIdentityWithdrawn(const Error& why) override;
  void OnAgentTrouble(const Error& why) override { proxy_.OnAgentTrouble(why); }
  void OnAgentBack() override { proxy_.OnAgentBack(); }

  void OnDenials(identity::DenialSetPtr denials) override;
  void OnNoDenials() override;
  void OnDenialTrouble(const Error& why) override;

 private:
  // With mutex_ held.
  void Open();
  void LetThrough();
  void CloseUnlessNeeded();

  IdentityObserver& proxy_;
  const std::function<void(identity::DenialSetPtr)> deny_;
  const Logger& log_;
  std::mutex mutex_;
  bool open_ = false;
  bool in_force_ = false;  // the proxy was given an identity and none was withdrawn since
  bool answered_ = false;  // what was heard last is as the agent has it
  bool said_trouble_ = false;
  IdentityPtr held_;  // until it opens
};

}  // namespace signet::proxy
