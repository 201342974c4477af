#include "mesh/request_policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "mesh/rule_index.h"
#include "mesh/rule_match.h"

namespace signet::mesh {
namespace {

using RulePointers = std::vector<const PolicyRule*>;

// Deny rules first, as they win; each kind in the order it was written.
RulePointers InPrecedence(std::span<const PolicyRule> rules, bool with_audit) {
  RulePointers ordered;
  for (const Effect effect : {Effect::kDeny, Effect::kAllow})
    for (const PolicyRule& rule : rules)
      if (rule.effect == effect && (with_audit || rule.mode == RuleMode::kEnforce))
        ordered.push_back(&rule);
  return ordered;
}

struct Outcome {
  Verdict verdict = Verdict::kDeny;
  TargetFault fault = TargetFault::kNone;
  const PolicyRule* rule = nullptr;
};

// Only what rules ask for must have one meaning: without rules on paths, any path may pass.
Outcome DecideBy(const RuleIndex& index, const PreparedFacts& prepared) {
  if (index.asks_path() && prepared.path_fault() != TargetFault::kNone)
    return {Verdict::kMalformed, prepared.path_fault(), nullptr};
  if (index.asks_host() && prepared.host().fault != TargetFault::kNone)
    return {Verdict::kMalformed, prepared.host().fault, nullptr};
  const PolicyRule* rule = index.FindFirst(prepared);
  if (rule == nullptr) return {};
  return {rule->effect == Effect::kAllow ? Verdict::kAllow : Verdict::kDeny, TargetFault::kNone,
          rule};
}

std::string IdOf(std::string_view listener, std::string what) {
  const std::vector<std::string> parts = {std::string(listener), std::move(what)};
  return PolicyId(parts);
}

}  // namespace

// What is enforced and what is only watched are two indexes: the first never saw an audit rule.
struct RequestPolicy::Compiled {
  Compiled(std::string_view listener, std::vector<PolicyRule> all)
      : rules(std::move(all)),
        no_rule_id(IdOf(listener, "no rule")),
        malformed_id(IdOf(listener, "malformed")),
        enforced(InPrecedence(rules, false)),
        audited(
            std::ranges::any_of(rules, [](const auto& r) { return r.mode == RuleMode::kAudit; })),
        shadow(audited ? InPrecedence(rules, true) : RulePointers()) {}

  const std::vector<PolicyRule> rules;
  const std::string no_rule_id;
  const std::string malformed_id;
  const RuleIndex enforced;
  const bool audited;
  const RuleIndex shadow;
};

RequestPolicy::RequestPolicy() : RequestPolicy({}, {}) {}
RequestPolicy::~RequestPolicy() = default;
RequestPolicy::RequestPolicy(std::string_view listener, std::vector<PolicyRule> rules)
    : compiled_(std::make_shared<const Compiled>(listener, std::move(rules))) {}

RequestPolicy RequestPolicy::Read(ConfigMap& config, const RuleScope& scope,
                                  ConfigProblems* problems) {
  std::vector<PolicyRule> rules = ReadRules(config, "deny", Effect::kDeny, scope, problems);
  std::vector<PolicyRule> allow = ReadRules(config, "allow", Effect::kAllow, scope, problems);
  rules.insert(rules.end(), std::make_move_iterator(allow.begin()),
               std::make_move_iterator(allow.end()));
  CheckRules(rules, problems);
  return rules.size() <= kMaxRules ? RequestPolicy(scope.listener, std::move(rules))
                                   : RequestPolicy();
}

RequestPolicy RequestPolicy::ReadExpected(ConfigMap& config, const RuleScope& scope,
                                          ConfigProblems* problems) {
  std::vector<PolicyRule> rules = ReadRules(config, "expect", Effect::kAllow, scope, problems);
  CheckRules(rules, problems);
  return rules.size() <= kMaxRules ? RequestPolicy(scope.listener, std::move(rules))
                                   : RequestPolicy();
}

Decision RequestPolicy::Decide(const RequestFacts& facts) const {
  const PreparedFacts prepared(facts);
  const Outcome outcome = DecideBy(compiled_->enforced, prepared);
  Decision decision;
  decision.verdict = outcome.verdict;
  decision.fault = outcome.fault;
  decision.rule = outcome.rule;
  decision.id = outcome.rule != nullptr                  ? std::string_view(outcome.rule->id)
                : outcome.verdict == Verdict::kMalformed ? malformed_id()
                                                         : no_rule_id();
  if (compiled_->audited) {
    const Outcome shadow = DecideBy(compiled_->shadow, prepared);
    decision.shadow = {shadow.verdict != outcome.verdict, shadow.verdict, shadow.rule};
  }
  return decision;
}

Decision RequestPolicy::DecideConnection(const identity::SpiffeId& caller, const IpAddress& source,
                                         std::uint16_t port) const {
  RequestFacts facts;
  facts.caller = &caller;
  facts.source = source;
  facts.port = port;
  return Decide(facts);
}

std::span<const PolicyRule> RequestPolicy::rules() const { return compiled_->rules; }
std::string_view RequestPolicy::no_rule_id() const { return compiled_->no_rule_id; }
std::string_view RequestPolicy::malformed_id() const { return compiled_->malformed_id; }

bool RequestPolicy::needs_requests() const {
  return std::ranges::any_of(compiled_->rules, [](const PolicyRule& rule) {
    return rule.mode == RuleMode::kEnforce && !rule.connection_only();
  });
}

std::string Decision::Reason(const identity::SpiffeId* caller) const {
  if (verdict == Verdict::kMalformed) return std::string(Describe(fault));
  if (rule != nullptr)
    return fmt::format("{} by {} ({})", allowed() ? "allowed" : "denied", rule->name,
                       rule->Place());
  if (caller == nullptr || caller->empty()) return "no rule allows a caller without an identity";
  return "no rule allows " + caller->ToString();
}

std::string RefusalIds::Next(const Decision& decision) {
  static constexpr std::string_view kLetters = "0123456789abcdefghjkmnpqrstvwxyz";
  constexpr int kSerialLetters = 8;
  std::string id(decision.id);
  id += '-';
  std::uint64_t serial = next_++;
  for (int i = 0; i < kSerialLetters; ++i, serial >>= 5) id += kLetters[serial & 31];
  return id;
}

}  // namespace signet::mesh
