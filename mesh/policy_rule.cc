#include "mesh/policy_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/log.h"

namespace signet::mesh {
namespace {

constexpr char kHowToName[] =
    "such as spiffe://example.org/web, or spiffe://example.org/web/* for all IDs below it";
constexpr std::size_t kMaxNameBytes = 256;

bool IsTokenByte(char c) {  // RFC 9110, 5.6.2
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kMarks.find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && std::ranges::all_of(text, IsTokenByte);
}

// Reads one rule; each list in the order of the struct.
class RuleReader {
 public:
  RuleReader(ConfigMap& config, const RuleScope& scope, ConfigProblems* problems)
      : config_(config), scope_(scope), problems_(problems) {}

  PolicyRule Read(Effect effect, std::string default_name) {
    rule_.effect = effect;
    rule_.file = config_.file();
    rule_.line = config_.line();
    const auto name = config_.String("name");
    rule_.name = name.value_or(std::move(default_name));
    if (rule_.name.empty() || rule_.name.size() > kMaxNameBytes)
      config_.Problem("name",
                      fmt::format("a rule's name is {}",
                                  rule_.name.empty() ? "empty" : "longer than 256 bytes"),
                      "leave it out, or give one for the logs");
    ReadMode();
    ReadCallers();
    if (scope_.layer == PolicyLayer::kPeer) {
      Refuse({"sources", "ports"}, "has no meaning here: the rule is about whom we call",
             "leave it out");
    } else {
      ReadSources();
      ReadPorts();
    }
    ReadRequest();
    config_.Finish();
    rule_.id = PolicyId(Contents(name.value_or("")));
    return std::move(rule_);
  }

 private:
  void Problem(int line, std::string message, std::string hint) {
    problems_->Add({rule_.file, line, std::move(message), std::move(hint)});
  }

  // Parses each text of the list at `key` with `parse` into `out`.
  template <class T, class Parse>
  void ReadList(std::string_view key, Parse parse, std::string_view hint, std::vector<T>* out) {
    const std::vector<ConfigScalar> texts = config_.Scalars(key);
    if (config_.Has(key) && texts.empty())
      config_.Problem(key, fmt::format("rule '{}': '{}' is empty", rule_.name, key),
                      "leave it out to ask nothing, or name what is meant");
    if (texts.size() > kMaxValues)
      return config_.Problem(key, fmt::format("'{}' has more than {} values", key, kMaxValues),
                             "several rules");
    for (const ConfigScalar& text : texts) {
      auto parsed = parse(text.text);
      if (parsed)
        out->push_back(*std::move(parsed));
      else
        Problem(text.line, parsed.error().Message(), std::string(hint));
    }
  }

  void ReadMode() {
    const std::string mode = config_.String("mode", "enforce");
    if (mode == "audit")
      rule_.mode = RuleMode::kAudit;
    else if (mode != "enforce")
      config_.Problem("mode", fmt::format("'{}' is not a mode", EscapeForLog(mode, 80)),
                      "audit: decide and report, do not enforce; or enforce");
  }

  void AddCaller(const std::string& text, int line) {
    auto pattern = identity::SpiffeIdPattern::Parse(text);
    if (pattern)
      rule_.callers.push_back(*std::move(pattern));
    else
      Problem(line, pattern.error().Message(), kHowToName);
  }

  void ReadCallers() {
    const auto id = config_.String("id");
    const std::vector<ConfigScalar> ids = config_.Scalars("ids");
    if (id) AddCaller(*id, config_.Line("id"));
    if (ids.size() > kMaxValues)
      config_.Problem("ids", fmt::format("'ids' has more than {} values", kMaxValues),
                      "several rules");
    else
      for (const ConfigScalar& one : ids) AddCaller(one.text, one.line);
    const bool named = id || !ids.empty();
    if (id && config_.Has("ids"))
      config_.Problem("ids", fmt::format("rule '{}' has both id and ids", rule_.name), "keep one");
    else if (!named && rule_.effect == Effect::kAllow)
      config_.ProblemAtLine(rule_.line,
                            fmt::format("rule '{}' allows nobody: neither id nor ids", rule_.name),
                            fmt::format("id: {}", kHowToName));
    else if (!named && (config_.Has("ids") || config_.Has("id")))
      config_.Problem("ids", fmt::format("rule '{}': 'ids' is empty", rule_.name),
                      "leave it out to deny every caller, or name some");
  }

  void ReadSources() {
    ReadList("sources", IpRange::Parse, "an address or range, such as 10.0.0.0/8", &rule_.sources);
  }

  void ReadPorts() {
    const auto parse = [](const std::string& text) -> Result<std::uint16_t> {
      std::uint16_t port = 0;
      const char* end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, port);
      if (error != std::errc() || stop != end || port == 0)
        return Fail(Code::kInvalidArgument, Reason{"malformed port"},
                    fmt::format("\"{}\"", EscapeForLog(text, 40)));
      return port;
    };
    ReadList("ports", parse, "the listener's port, 1 to 65535", &rule_.ports);
  }

  // Settings of the language that this listener cannot decide over: known, and problems.
  void Refuse(std::initializer_list<const char*> keys, std::string_view why,
              std::string_view hint) {
    for (const char* key : keys)
      if (config_.Ignore(key))
        config_.Problem(key, fmt::format("rule '{}': '{}' {}", rule_.name, key, why),
                        std::string(hint));
  }

  void ReadRequest() {
    if (scope_.layer != PolicyLayer::kRequest)
      return Refuse({"methods", "paths", "grpc", "hosts", "headers", "claims"},
                    fmt::format("asks for what only HTTP has, and {} is not HTTP", scope_.path),
                    "leave it out, or give the listener protocol: http or grpc");
    const auto method = [](const std::string& text) -> Result<std::string> {
      if (IsToken(text) && std::ranges::none_of(text, [](char c) { return c >= 'a' && c <= 'z'; }))
        return text;
      return Fail(Code::kInvalidArgument, Reason{"malformed method"},
                  fmt::format("\"{}\"", EscapeForLog(text, 40)));
    };
    ReadList("methods", method, "in capitals, such as GET", &rule_.methods);
    ReadList("paths", PathPattern::Parse, "such as /users, /users/*, or /users/{id}", &rule_.paths);
    if (config_.Has("grpc")) {
      rule_.grpc = true;
      if (config_.Has("paths"))
        config_.Problem("grpc", fmt::format("rule '{}' has both paths and grpc", rule_.name),
                        "keep one: a gRPC method is a path");
    }
    std::vector<PathPattern> calls;
    ReadList("grpc", PathPattern::ParseGrpc, "such as shop.v1.Orders/Get or shop.v1.Orders/*",
             &calls);
    rule_.paths.insert(rule_.paths.end(), calls.begin(), calls.end());
    ReadList("hosts", HostPattern::Parse, "such as api.example.org or *.example.org", &rule_.hosts);
    rule_.headers = ReadConditions("headers", true);
    rule_.claims = ReadConditions("claims", false);
  }

  std::vector<ValueCondition> ReadConditions(std::string_view key, bool header) {
    std::vector<ValueCondition> conditions;
    std::vector<ConfigMap> items = config_.Maps(key);
    if (config_.Has(key) && items.empty())
      config_.Problem(key, fmt::format("rule '{}': '{}' is empty", rule_.name, key),
                      "leave it out to ask nothing");
    for (ConfigMap& item : items) conditions.push_back(ReadCondition(item, header));
    return conditions;
  }

  ValueCondition ReadCondition(ConfigMap& item, bool header) {
    ValueCondition condition;
    condition.name = item.RequiredString("name", header ? "a header's name" : "a claim's name");
    if (header) CheckHeaderName(item, &condition.name);
    const auto add = [&](std::string_view one, std::string_view many, bool prefix) {
      if (const auto text = item.String(one)) condition.values.push_back({*text, prefix});
      for (const ConfigScalar& text : item.Scalars(many))
        condition.values.push_back({text.text, prefix});
    };
    add("value", "values", false);
    add("prefix", "prefixes", true);
    const bool present = item.Bool("present", false);
    const bool absent = item.Bool("absent", false);
    if (present) condition.kind = ValueCondition::Kind::kPresent;
    if (absent) condition.kind = ValueCondition::Kind::kAbsent;
    const int asked = (condition.values.empty() ? 0 : 1) + (present ? 1 : 0) + (absent ? 1 : 0);
    if (asked != 1)
      item.ProblemAtLine(item.line(),
                         fmt::format("rule '{}': '{}' asks {}", rule_.name, condition.name,
                                     asked == 0 ? "nothing" : "two things at once"),
                         "one of: value(s) and prefix(es), present: true, absent: true");
    if (condition.values.size() > kMaxValues)
      item.ProblemAtLine(item.line(), fmt::format("more than {} values", kMaxValues));
    CheckPrefixes(item, condition);
    item.Finish();
    return condition;
  }

  static void CheckPrefixes(ConfigMap& item, const ValueCondition& condition) {
    if (std::ranges::any_of(condition.values,
                            [](const ValuePattern& v) { return v.prefix && v.text.empty(); }))
      item.ProblemAtLine(item.line(), fmt::format("'{}': an empty prefix", condition.name),
                         "present: true asks for any value");
  }

  void CheckHeaderName(ConfigMap& item, std::string* name) {
    if (name->empty()) return;
    if (!IsToken(*name))
      item.Problem("name", fmt::format("'{}' is not a header's name", EscapeForLog(*name, 80)));
    std::ranges::transform(*name, name->begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (*name == "host") item.Problem("name", "the host is not matched as a header", "use hosts");
  }

  static void AddConditions(std::string_view kind, const std::vector<ValueCondition>& conditions,
                            std::vector<std::string>* parts) {
    for (const ValueCondition& condition : conditions) {
      parts->push_back(
          fmt::format("{} {} {}", kind, static_cast<int>(condition.kind), condition.name));
      for (const ValuePattern& value : condition.values)
        parts->push_back((value.prefix ? "prefix " : "value ") + value.text);
    }
  }

  // What the rule's id is of.
  std::vector<std::string> Contents(const std::string& given_name) const {
    std::vector<std::string> parts = {
        std::string(scope_.listener), rule_.effect == Effect::kAllow ? "allow" : "deny",
        rule_.mode == RuleMode::kAudit ? "audit" : "enforce", given_name};
    for (const auto& caller : rule_.callers) parts.push_back("caller " + caller.text());
    for (const IpRange& source : rule_.sources) parts.push_back("source " + source.ToString());
    for (const std::uint16_t port : rule_.ports) parts.push_back(fmt::format("port {}", port));
    for (const std::string& method : rule_.methods) parts.push_back("method " + method);
    for (const PathPattern& path : rule_.paths)
      parts.push_back((rule_.grpc ? "grpc " : "path ") + path.text());
    for (const HostPattern& host : rule_.hosts) parts.push_back("host " + host.text());
    AddConditions("header", rule_.headers, &parts);
    AddConditions("claim", rule_.claims, &parts);
    return parts;
  }

  ConfigMap& config_;
  const RuleScope& scope_;
  ConfigProblems* problems_;
  PolicyRule rule_;
};

}  // namespace

std::string PolicyRule::Place() const { return fmt::format("{}:{}", file, line); }

bool PolicyRule::connection_only() const {
  return methods.empty() && paths.empty() && hosts.empty() && headers.empty() && claims.empty();
}

std::vector<PolicyRule> ReadRules(ConfigMap& config, std::string_view key, Effect effect,
                                  const RuleScope& scope, ConfigProblems* problems) {
  std::vector<PolicyRule> rules;
  for (ConfigMap& item : config.Maps(key))
    rules.push_back(RuleReader(item, scope, problems)
                        .Read(effect, fmt::format("{}.{}[{}]", scope.path, key, rules.size())));
  return rules;
}

void CheckRules(std::span<const PolicyRule> rules, ConfigProblems* problems) {
  std::map<std::string_view, const PolicyRule*> names;
  for (const PolicyRule& rule : rules) {
    const auto [known, added] = names.emplace(rule.name, &rule);
    if (!added)
      problems->Add(
          {rule.file, rule.line,
           fmt::format("rule name '{}' is taken by line {}", rule.name, known->second->line),
           "names tell rules apart in the logs"});
  }
  if (rules.size() > kMaxRules)
    problems->Add({rules[kMaxRules].file, rules[kMaxRules].line,
                   fmt::format("more than {} rules on one listener", kMaxRules),
                   "rules with lists of ids, paths or values say the same in fewer"});
}

std::string PolicyId(std::span<const std::string> parts) {
  // FNV-1a with lengths, then mixed (splitmix64): names things, protects nothing.
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  for (const std::string& part : parts) {
    for (int shift = 0; shift < 32; shift += 8)
      add(static_cast<std::uint8_t>(part.size() >> static_cast<unsigned>(shift)));
    for (const char c : part) add(static_cast<std::uint8_t>(c));
  }
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  hash ^= hash >> 31;
  static constexpr std::string_view kLetters = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string id;
  for (int i = 0; i < 10; ++i, hash >>= 5) id += kLetters[hash & 31];
  return id;
}

}  // namespace signet::mesh
