#include "mesh/policy.h"

#include <fmt/format.h>

#include <algorithm>

namespace signet::mesh {
namespace {

constexpr char kHowToWriteOne[] =
    "such as spiffe://example.org/web, or spiffe://example.org/web/* for all IDs below it";

// Reads one pattern into `rule`; a malformed one is a problem.
void AddPattern(const std::string& text, int line, ConnectionRule* rule, ConfigProblems* problems) {
  auto pattern = identity::SpiffeIdPattern::Parse(text);
  if (pattern)
    rule->identities.push_back(std::move(*pattern));
  else
    problems->Add({rule->file, line, pattern.error().Message(), kHowToWriteOne});
}

ConnectionRule ReadRule(ConfigMap& config, std::string default_name, ConfigProblems* problems) {
  ConnectionRule rule;
  rule.name = config.String("name", default_name);
  rule.file = config.file();
  rule.line = config.line();
  const auto id = config.String("id");
  const std::vector<ConfigScalar> ids = config.Scalars("ids");
  if (id) AddPattern(*id, config.Line("id"), &rule, problems);
  for (const ConfigScalar& one : ids) AddPattern(one.text, one.line, &rule, problems);
  if (id && config.Has("ids"))
    config.Problem("ids", fmt::format("rule '{}' has both id and ids", rule.name), "keep one");
  else if (!id && ids.empty())
    config.ProblemAtLine(rule.line,
                         fmt::format("rule '{}' allows nobody: neither id nor ids", rule.name),
                         fmt::format("id: {}", kHowToWriteOne));
  if (rule.name.empty())
    config.Problem("name", "a rule's name is empty", "leave it out, or give one for the logs");
  config.Finish();
  return rule;
}

}  // namespace

std::string Decision::Reason() const {
  if (allowed() && rule != nullptr)
    return fmt::format("allowed by {} ({}:{})", rule->name, rule->file, rule->line);
  if (caller.empty()) return "no rule allows a caller without an identity";
  return "no rule allows " + caller.ToString();
}

ConnectionPolicy ConnectionPolicy::Read(ConfigMap& config, std::string_view key,
                                        std::string_view path, ConfigProblems* problems) {
  std::vector<ConnectionRule> rules;
  for (ConfigMap& item : config.Maps(key)) {
    ConnectionRule rule =
        ReadRule(item, fmt::format("{}.{}[{}]", path, key, rules.size()), problems);
    const auto same = std::ranges::find(rules, rule.name, &ConnectionRule::name);
    if (same != rules.end())
      problems->Add({rule.file, rule.line,
                     fmt::format("rule name '{}' is taken by line {}", rule.name, same->line),
                     "names tell rules apart in the logs"});
    rules.push_back(std::move(rule));
  }
  return ConnectionPolicy(std::move(rules));
}

Decision ConnectionPolicy::Decide(const identity::SpiffeId& caller) const {
  for (const ConnectionRule& rule : rules_)
    for (const identity::SpiffeIdPattern& identity : rule.identities)
      if (identity.Matches(caller)) return {Action::kAllow, &rule, caller};
  return {Action::kDeny, nullptr, caller};
}

}  // namespace signet::mesh
