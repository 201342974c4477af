// What the request's headers and claims say to the conditions of one rule, and a request's facts
// made ready to be looked up. Between the rule's values and the index over many rules.
//
// Threads: pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "mesh/request_policy.h"

namespace signet::mesh {

// A request's facts, parsed once for all rules. Keeps views into the facts.
class PreparedFacts {
 public:
  explicit PreparedFacts(const RequestFacts& facts);
  PreparedFacts(const PreparedFacts&) = delete;
  PreparedFacts& operator=(const PreparedFacts&) = delete;

  const RequestFacts& facts() const { return facts_; }
  // Whether the path has one meaning. A request that has none by its nature (CONNECT, OPTIONS *)
  // has no fault, and no rule on paths matches it.
  TargetFault path_fault() const { return path_fault_; }
  // Empty when there is no path to look up.
  std::string_view decoded_path() const { return decoded_; }
  const HostParts& host() const { return host_; }

 private:
  const RequestFacts& facts_;
  TargetFault path_fault_ = TargetFault::kNone;
  std::string buffer_;  // of decoded_, when the path has escapes
  std::string_view decoded_;
  HostParts host_;
};

bool EqualIgnoringCase(std::string_view a, std::string_view b);

// `line` without spaces and tabs around it.
std::string_view Trim(std::string_view line);

// Runs `verb` for each member of a comma-separated line, trimmed. A line without a comma is its own
// only member.
template <class Verb>
void ForEachMember(std::string_view line, Verb verb) {
  while (true) {
    const std::size_t comma = line.find(',');
    verb(Trim(line.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    line.remove_prefix(comma + 1);
  }
}

// Every condition of the rule on headers and claims, each value considered (policy_rule.h).
bool ConditionsHold(const PolicyRule& rule, const RequestFacts& facts);

}  // namespace signet::mesh
