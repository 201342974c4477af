// Who may do what: rules over a caller's verified identity and what it asks for, decided by a pure
// function. Nothing is allowed unless an allow rule states it; a deny rule wins over any; a default
// policy denies all. One language for TCP connections (callers, sources, ports) and for requests.
//
//   RequestFacts facts;
//   facts.caller = &peer.id; facts.method = "GET"; facts.path = "/users/7?full=1"; …
//   const Decision decision = policy.Decide(facts);
//   if (!decision.allowed()) answer 403 (kDeny) or 400 (kMalformed)
//   if (decision.shadow.differs) count and log what the audit rules would have changed
//
// Threads: values; a RequestPolicy is immutable and shared. Decide() allocates nothing once warm
// and runs in parallel.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/policy_rule.h"

namespace signet::mesh {

struct NameValue {
  std::string_view name;
  std::string_view value;
};

// What is decided over. Views: valid during the call only. A TCP connection has caller, source and
// port, and leaves the rest empty.
struct RequestFacts {
  // Of the verified certificate; null or empty: no identity, and nothing is allowed.
  const identity::SpiffeId* caller = nullptr;
  IpAddress source;        // of the socket, never of a header; default: none (a Unix socket)
  std::uint16_t port = 0;  // the listener's
  std::string_view method;
  // The request target byte for byte as it is forwarded, with its query, which takes no part. Empty
  // of CONNECT; "*" of OPTIONS *.
  std::string_view path;
  std::string_view host;  // :authority or Host as forwarded; the two agree or there was a 400
  bool grpc = false;      // content-type is application/grpc or one of its kinds
  // Every header field as it is forwarded, one element a line; names in any letter case.
  std::span<const NameValue> headers;
  // Of a JWT-SVID that was validated, and of no other; empty otherwise. A claim that is a list has
  // an element a member; a number or boolean is its JSON text; a member of a map is "map.member".
  std::span<const NameValue> claims;
};

enum class Verdict : std::uint8_t {
  kDeny,       // the zero value: 403, PERMISSION_DENIED, or the connection is closed
  kAllow,      //
  kMalformed,  // path or host has no one meaning and a rule asks for it: 400
};

// What audit rules would have changed. It is computed apart from the decision and never used by it.
struct ShadowDecision {
  bool differs = false;  // the verdict would be another one
  Verdict verdict = Verdict::kDeny;
  const PolicyRule* rule = nullptr;  // that would have decided; null: none
};

struct Decision {
  Verdict verdict = Verdict::kDeny;
  TargetFault fault = TargetFault::kNone;  // of kMalformed
  const PolicyRule* rule = nullptr;        // that decided, of the policy asked; null: no rule
  // Of the rule, or of the policy for "no rule allows" and "malformed"; 10 letters and digits.
  // Empty of a default decision.
  std::string_view id;
  ShadowDecision shadow;
  bool allowed() const { return verdict == Verdict::kAllow; }
  // "denied by <name> (file:line)", "no rule allows spiffe://…", "allowed by <name> (file:line)",
  // "the path has an empty segment".
  std::string Reason(const identity::SpiffeId* caller) const;
};

class RequestPolicy {
 public:
  // Denies all.
  RequestPolicy();
  ~RequestPolicy();
  // `listener`: "inbound/web", which the ids of decisions without a rule are of.
  RequestPolicy(std::string_view listener, std::vector<PolicyRule> rules);
  RequestPolicy(const RequestPolicy&) = default;  // shares what was compiled
  RequestPolicy& operator=(const RequestPolicy&) = default;

  // Reads `allow` and `deny` of a listener. Each fault is a problem; then the policy is not to be
  // used.
  static RequestPolicy Read(ConfigMap& config, const RuleScope& scope, ConfigProblems* problems);
  // Reads `expect`: who must answer a connection of ours.
  static RequestPolicy ReadExpected(ConfigMap& config, const RuleScope& scope,
                                    ConfigProblems* problems);

  Decision Decide(const RequestFacts& facts) const;
  // A connection alone: caller, source and port.
  Decision DecideConnection(const identity::SpiffeId& caller, const IpAddress& source = {},
                            std::uint16_t port = 0) const;

  std::span<const PolicyRule> rules() const;
  // The ids of decisions without a rule.
  std::string_view no_rule_id() const;
  std::string_view malformed_id() const;
  // Some enforced rule asks for what only HTTP has.
  bool needs_requests() const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

// Makes the id of each refusal: the decision's id, by which `signet policy explain` finds rule,
// file and line, and a serial, by which the log line of this very refusal is found.
// "k3f9a2m7qd-0x8c2w1f"
//
// Threads: one worker's.
class RefusalIds {
 public:
  // `start`: random, so that serials of several workers and starts do not meet.
  explicit RefusalIds(std::uint64_t start) : next_(start) {}
  std::string Next(const Decision& decision);

 private:
  std::uint64_t next_;
};

}  // namespace signet::mesh
