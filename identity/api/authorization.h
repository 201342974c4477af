// Who may call what: one table of every method the server speaks, and one decision over it. Pure
// but for reading the registry; the router asks before a handler sees the first byte of a request.
//
// Threads: safe from any thread.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "identity/api/caller.h"
#include "identity/registry/registry.h"

namespace signet::identity {

inline constexpr Reason kCallDenied{"authorization denied"};

// Which kinds of caller a method takes; each is a separate way in.
struct Allowed {
  bool any = false;
  bool local = false;       // the admin socket
  bool admin = false;       // an SVID with an entry that says admin
  bool downstream = false;  // an SVID with an entry that says downstream
  bool agent = false;       // an attested agent with its current SVID
};

struct MethodRule {
  std::string_view method;  // "/spire.api.server.entry.v1.Entry/ListEntries"
  Allowed allowed;
  bool admin_socket_only = false;  // elsewhere the service does not exist
};

// Null: no such method. The service of a method is known when any rule names it.
const MethodRule* FindRule(std::string_view method);
bool IsKnownService(std::string_view service, bool on_admin_socket);
// For tests and documentation.
std::span<const MethodRule> AllRules();

// Why an agent was not let in, as spire.api.types.PermissionDeniedDetails numbers it.
enum class AgentDenial { kNone = 0, kExpired = 1, kNotAttested = 2, kNotActive = 3, kBanned = 4 };

struct Verdict {
  enum class Kind {
    kDenied,
    kAllowed,
    // Allowed once the node's new SVID, seen in use for the first time, is stored as its current
    // one.
    kPromote,
  } kind = Kind::kDenied;
  AgentDenial denial = AgentDenial::kNone;
};

// An agent renews with its current SVID until this long after the SVID's end, and may do nothing
// else then.
struct AuthorizationSettings {
  std::vector<SpiffeId> admin_ids;  // administrators without an entry
  std::chrono::seconds renewal_grace{3600};
};

class Authorizer {
 public:
  Authorizer(Registry& registry, const Clock& clock, AuthorizationSettings settings)
      : registry_(registry), clock_(clock), settings_(std::move(settings)) {}

  Verdict Decide(const MethodRule& rule, const Caller& caller) const;
  // Stores the caller's SVID as its node's current one. Fails with kCallDenied when it is not the
  // new one any more.
  Status Promote(const Caller& caller) const;
  // The check on an agent by itself; how open streams are re-judged.
  AgentDenial CheckAgent(const Caller& caller) const;

 private:
  bool IsAdmin(const SpiffeId& id) const;
  bool IsDenied(const Caller& caller) const;
  Verdict DecideAgent(const MethodRule& rule, const Caller& caller) const;
  AgentDenial CheckAgent(const Caller& caller, std::chrono::seconds grace, bool* is_new) const;

  Registry& registry_;
  const Clock& clock_;
  const AuthorizationSettings settings_;
};

}  // namespace signet::identity
