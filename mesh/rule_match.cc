#include "mesh/rule_match.h"

#include <algorithm>

namespace signet::mesh {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool MatchesAny(const std::vector<ValuePattern>& patterns, std::string_view value) {
  return std::ranges::any_of(patterns, [&](const ValuePattern& p) { return p.Matches(value); });
}

// An allow rule: the line as a whole is a value asked for, or each of its members is. That a line
// begins right says nothing of what follows a comma, so prefixes are asked of members only.
bool WholeLineHolds(const ValueCondition& condition, std::string_view line) {
  const auto is_line = [&](const ValuePattern& p) { return !p.prefix && p.text == line; };
  if (std::ranges::any_of(condition.values, is_line)) return true;
  bool all = true;
  ForEachMember(line,
                [&](std::string_view member) { all &= MatchesAny(condition.values, member); });
  return all;
}

// A deny rule: the line or any member of it is what is asked for.
bool SomeOfLineHolds(const ValueCondition& condition, std::string_view line) {
  bool any = MatchesAny(condition.values, line);
  ForEachMember(line,
                [&](std::string_view member) { any |= MatchesAny(condition.values, member); });
  return any;
}

bool HeaderHolds(const ValueCondition& condition, Effect effect,
                 std::span<const NameValue> headers) {
  bool present = false;
  bool all = true;
  bool any = false;
  for (const NameValue& header : headers) {
    if (!EqualIgnoringCase(header.name, condition.name)) continue;
    present = true;
    if (condition.kind != ValueCondition::Kind::kValues) break;
    const std::string_view line = Trim(header.value);
    if (effect == Effect::kAllow)
      all = all && WholeLineHolds(condition, line);
    else
      any = any || SomeOfLineHolds(condition, line);
  }
  switch (condition.kind) {
    case ValueCondition::Kind::kPresent:
      return present;
    case ValueCondition::Kind::kAbsent:
      return !present;
    case ValueCondition::Kind::kValues:
      return effect == Effect::kAllow ? present && all : any;
  }
  return false;
}

// Claims are the issuer's word: a list of them is a set, and one member is enough for either
// effect.
bool ClaimHolds(const ValueCondition& condition, std::span<const NameValue> claims) {
  bool present = false;
  bool any = false;
  for (const NameValue& claim : claims) {
    if (claim.name != condition.name) continue;
    present = true;
    any = any || MatchesAny(condition.values, claim.value);
  }
  switch (condition.kind) {
    case ValueCondition::Kind::kPresent:
      return present;
    case ValueCondition::Kind::kAbsent:
      return !present;
    case ValueCondition::Kind::kValues:
      return any;
  }
  return false;
}

// CONNECT names no path, and OPTIONS * none of the paths.
bool HasNoPath(const RequestFacts& facts) {
  return (facts.method == "CONNECT" && facts.path.empty()) ||
         (facts.method == "OPTIONS" && facts.path == "*");
}

}  // namespace

PreparedFacts::PreparedFacts(const RequestFacts& facts)
    : facts_(facts), host_(ParseHost(facts.host)) {
  if (HasNoPath(facts)) return;
  const std::string_view path = PathOf(facts.path);
  path_fault_ = CheckCanonicalPath(path);
  if (path_fault_ != TargetFault::kNone) return;
  decoded_ = path;
  if (path.find('%') == std::string_view::npos) return;
  DecodePath(path, &buffer_);
  decoded_ = buffer_;
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::ranges::equal(a, b, {}, Lower, Lower);
}

std::string_view Trim(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  return line;
}

bool ConditionsHold(const PolicyRule& rule, const RequestFacts& facts) {
  return std::ranges::all_of(
             rule.headers,
             [&](const auto& c) { return HeaderHolds(c, rule.effect, facts.headers); }) &&
         std::ranges::all_of(rule.claims,
                             [&](const auto& c) { return ClaimHolds(c, facts.claims); });
}

}  // namespace signet::mesh
