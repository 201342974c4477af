// Who may do what: rules over a caller's verified identity, decided by a pure function. Nothing is
// allowed unless stated; a default policy denies all.
//
// Threads: values; a Policy is immutable and shared.
#pragma once

#include <string>
#include <vector>

#include "base/config.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::mesh {

// One allow rule of a connection policy, with where it was written.
struct ConnectionRule {
  std::string name;                                   // "inbound[0].allow[1]" unless named
  std::vector<identity::SpiffeIdPattern> identities;  // any of them
  std::string file;
  int line = 0;
};

enum class Action { kDeny, kAllow };  // deny is the zero value

struct Decision {
  Action action = Action::kDeny;
  const ConnectionRule* rule = nullptr;  // which rule allowed, of the policy asked; null for a deny
  identity::SpiffeId caller;             // who was decided over
  bool allowed() const { return action == Action::kAllow; }
  std::string Reason() const;  // "no rule allows spiffe://…" or "allowed by <name> (file:line)"
};

class ConnectionPolicy {
 public:
  ConnectionPolicy() = default;
  explicit ConnectionPolicy(std::vector<ConnectionRule> rules) : rules_(std::move(rules)) {}
  // Reads the list at `key` (`allow: [{name: …, id: pattern | ids: [patterns]}]`). Each fault is a
  // problem.
  static ConnectionPolicy Read(ConfigMap& config, std::string_view key, std::string_view path,
                               ConfigProblems* problems);

  Decision Decide(const identity::SpiffeId& caller) const;
  const std::vector<ConnectionRule>& rules() const { return rules_; }

 private:
  std::vector<ConnectionRule> rules_;
};

}  // namespace signet::mesh
