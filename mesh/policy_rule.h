// One rule of a policy as it was written: whom and what it names, whether it allows or denies, and
// where it stands. Reading it from YAML, and matching it against one request by itself; a policy of
// many rules decides by an index (request_policy.h), which must come to the same answer.
//
// Where a request can be read in two ways, an allow rule matches only if every reading does, and a
// deny rule if any does: of a header sent three times, an allow rule wants all three values to
// match, a deny rule one; a deny rule on "/admin" also holds for "/admin/".
//
// Threads: values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "identity/spiffe/spiffe_id.h"
#include "mesh/ip_range.h"
#include "mesh/request_target.h"

namespace signet::mesh {

enum class Effect : std::uint8_t { kDeny, kAllow };  // deny is the zero value

// kAudit: the rule is decided over and reported, and has no part in what is enforced.
enum class RuleMode : std::uint8_t { kEnforce, kAudit };

// One value of a header or a claim that a rule asks for.
struct ValuePattern {
  std::string text;
  bool prefix = false;  // the value starts with `text`; else it is `text`
  bool Matches(std::string_view value) const {
    return prefix ? value.starts_with(text) : value == text;
  }
};

// What a rule asks of one header or claim.
struct ValueCondition {
  enum class Kind : std::uint8_t { kValues, kPresent, kAbsent };
  std::string name;  // of a header: lower case
  Kind kind = Kind::kValues;
  std::vector<ValuePattern> values;  // of kValues: any of them
};

struct PolicyRule {
  Effect effect = Effect::kDeny;
  RuleMode mode = RuleMode::kEnforce;
  std::string name;  // "inbound[0].allow[1]" unless named
  std::string id;    // 10 letters and digits; of the listener, the name and what is asked, no place
  std::string file;
  int line = 0;

  // Each list: any of them; empty: not asked. An allow rule always names callers.
  std::vector<identity::SpiffeIdPattern> callers;
  std::vector<IpRange> sources;
  std::vector<std::uint16_t> ports;
  std::vector<std::string> methods;
  std::vector<PathPattern> paths;
  bool grpc = false;  // `paths` are gRPC methods: an allow rule holds for gRPC requests only
  std::vector<HostPattern> hosts;
  // All of them.
  std::vector<ValueCondition> headers;
  std::vector<ValueCondition> claims;

  std::string Place() const;  // "file:line"
  // Asks nothing that only HTTP has.
  bool connection_only() const;
};

// How much of the language a list of rules may use.
enum class PolicyLayer : std::uint8_t {
  kPeer,        // callers: whom a connection of ours must reach
  kConnection,  // and sources, ports
  kRequest,     // all
};

struct RuleScope {
  std::string_view listener;  // "inbound/web": a rule's id is of it
  std::string_view path;      // "inbound[0]": how messages name the place
  PolicyLayer layer = PolicyLayer::kPeer;
};

inline constexpr std::size_t kMaxRules = 16384;  // of one listener
inline constexpr std::size_t kMaxValues = 4096;  // of one list of one rule

// Reads the rules under `key` ("allow", "expect": kAllow; "deny": kDeny). Every fault is a problem.
std::vector<PolicyRule> ReadRules(ConfigMap& config, std::string_view key, Effect effect,
                                  const RuleScope& scope, ConfigProblems* problems);
// Two rules of one name, too many rules.
void CheckRules(std::span<const PolicyRule> rules, ConfigProblems* problems);

// The id of what `parts` say: 10 letters and digits, the same for the same parts.
std::string PolicyId(std::span<const std::string> parts);

}  // namespace signet::mesh
