// A second evaluator of policies, written to be obvious: each rule in turn, each thing it asks by
// string operations on whole values, no index, nothing prepared. What the compiled one must agree
// with.
#pragma once

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "mesh/request_policy.h"

namespace signet::test {

using Texts = std::vector<std::string>;

inline Texts SplitText(const std::string& text, char separator) {
  Texts parts(1);
  for (const char c : text)
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

inline std::string LowerText(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return lower;
}

inline std::string TrimText(std::string text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.erase(0, 1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.pop_back();
  return text;
}

inline std::string UnescapeText(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
    i += 2;
  }
  return out;
}

inline bool ReferencePathMatches(const mesh::PolicyRule& rule, const mesh::PathPattern& pattern,
                                 const std::string& target) {
  Texts path = SplitText(target.substr(0, target.find('?')), '/');
  std::string written = rule.grpc ? "/" + pattern.text() : pattern.text();
  const bool below = written.ends_with("/*");
  if (below) written.erase(written.size() - 2);
  Texts wanted = SplitText(written, '/');
  const bool lenient = rule.effect == mesh::Effect::kDeny;
  if (lenient && wanted.size() > 1 && wanted.back().empty()) wanted.pop_back();
  if (path.size() < wanted.size()) return false;
  for (std::size_t i = 1; i < wanted.size(); ++i) {
    const bool any = wanted[i].starts_with('{');
    if (any ? path[i].empty() : UnescapeText(path[i]) != UnescapeText(wanted[i])) return false;
  }
  if (path.size() == wanted.size()) return !below || lenient;
  if (below) return true;
  return lenient && path.size() == wanted.size() + 1 && path.back().empty();
}

inline bool ReferenceValueMatches(const mesh::ValueCondition& condition, const std::string& value) {
  for (const mesh::ValuePattern& pattern : condition.values)
    if (pattern.prefix ? value.compare(0, pattern.text.size(), pattern.text) == 0
                       : value == pattern.text)
      return true;
  return false;
}

inline bool ReferenceHeaderMatches(const mesh::PolicyRule& rule,
                                   const mesh::ValueCondition& condition,
                                   const mesh::RequestFacts& facts) {
  Texts lines;
  for (const mesh::NameValue& header : facts.headers)
    if (LowerText(header.name) == condition.name)
      lines.push_back(TrimText(std::string(header.value)));
  if (condition.kind == mesh::ValueCondition::Kind::kPresent) return !lines.empty();
  if (condition.kind == mesh::ValueCondition::Kind::kAbsent) return lines.empty();
  std::size_t whole = 0;
  bool some = false;
  for (const std::string& line : lines) {
    bool members = true;
    for (const std::string& member : SplitText(line, ',')) {
      const bool matches = ReferenceValueMatches(condition, TrimText(member));
      members = members && matches;
      some = some || matches;
    }
    some = some || ReferenceValueMatches(condition, line);
    bool exact = false;
    for (const mesh::ValuePattern& pattern : condition.values)
      exact = exact || (!pattern.prefix && pattern.text == line);
    if (members || exact) ++whole;
  }
  return rule.effect == mesh::Effect::kDeny ? some : !lines.empty() && whole == lines.size();
}

inline bool ReferenceClaimMatches(const mesh::ValueCondition& condition,
                                  const mesh::RequestFacts& facts) {
  bool present = false;
  bool matches = false;
  for (const mesh::NameValue& claim : facts.claims)
    if (claim.name == condition.name) {
      present = true;
      matches = matches || ReferenceValueMatches(condition, std::string(claim.value));
    }
  if (condition.kind == mesh::ValueCondition::Kind::kPresent) return present;
  if (condition.kind == mesh::ValueCondition::Kind::kAbsent) return !present;
  return matches;
}

inline bool ReferenceHostMatches(const mesh::HostPattern& pattern, std::string_view sent) {
  std::string host = LowerText(sent);
  const std::size_t colon = host.rfind(':');
  std::string port;
  if (colon != std::string::npos && !host.ends_with("]")) {
    port = host.substr(colon + 1);
    host.erase(colon);
  }
  if (!pattern.port().empty() && pattern.port() != port) return false;
  std::string name = LowerText(pattern.text());
  if (!pattern.port().empty()) name.erase(name.rfind(':'));
  if (!name.starts_with("*.")) return host == name;
  name.erase(0, 1);
  return host.size() > name.size() && host.ends_with(name);
}

template <class List, class Test>
bool AnyOrUnasked(const List& list, Test test) {
  return list.empty() || std::any_of(list.begin(), list.end(), test);
}

inline bool ReferenceMatches(const mesh::PolicyRule& rule, const mesh::RequestFacts& facts) {
  const bool known = facts.caller != nullptr && !facts.caller->empty();
  if (rule.effect == mesh::Effect::kAllow && rule.callers.empty()) return false;
  if (!AnyOrUnasked(rule.callers, [&](const auto& p) { return known && p.Matches(*facts.caller); }))
    return false;
  if (!AnyOrUnasked(rule.sources, [&](const auto& r) { return r.Contains(facts.source); }))
    return false;
  if (!AnyOrUnasked(rule.ports, [&](auto p) { return p == facts.port; })) return false;
  if (!AnyOrUnasked(rule.methods, [&](const auto& m) { return m == facts.method; })) return false;
  const std::string target(facts.path);
  if (!AnyOrUnasked(rule.paths, [&](const auto& p) {
        return target.starts_with('/') && ReferencePathMatches(rule, p, target);
      }))
    return false;
  if (rule.grpc && rule.effect == mesh::Effect::kAllow && !facts.grpc) return false;
  if (!AnyOrUnasked(rule.hosts, [&](const auto& h) { return ReferenceHostMatches(h, facts.host); }))
    return false;
  for (const mesh::ValueCondition& condition : rule.headers)
    if (!ReferenceHeaderMatches(rule, condition, facts)) return false;
  for (const mesh::ValueCondition& condition : rule.claims)
    if (!ReferenceClaimMatches(condition, facts)) return false;
  return true;
}

// Takes the guards on paths and hosts from the code under test: they have tests of their own.
inline mesh::Verdict ReferenceDecide(std::span<const mesh::PolicyRule> rules, bool with_audit,
                                     const mesh::RequestFacts& facts) {
  bool asks_path = false;
  bool asks_host = false;
  bool allowed = false;
  bool denied = false;
  for (const mesh::PolicyRule& rule : rules) {
    if (rule.mode == mesh::RuleMode::kAudit && !with_audit) continue;
    asks_path = asks_path || !rule.paths.empty();
    asks_host = asks_host || !rule.hosts.empty();
  }
  const bool no_path = (facts.method == "CONNECT" && facts.path.empty()) ||
                       (facts.method == "OPTIONS" && facts.path == "*");
  if (asks_path && !no_path &&
      mesh::CheckCanonicalPath(mesh::PathOf(facts.path)) != mesh::TargetFault::kNone)
    return mesh::Verdict::kMalformed;
  if (asks_host && mesh::ParseHost(facts.host).fault != mesh::TargetFault::kNone)
    return mesh::Verdict::kMalformed;
  for (const mesh::PolicyRule& rule : rules) {
    if (rule.mode == mesh::RuleMode::kAudit && !with_audit) continue;
    if (!ReferenceMatches(rule, facts)) continue;
    if (rule.effect == mesh::Effect::kDeny) denied = true;
    if (rule.effect == mesh::Effect::kAllow) allowed = true;
  }
  return allowed && !denied ? mesh::Verdict::kAllow : mesh::Verdict::kDeny;
}

}  // namespace signet::test
