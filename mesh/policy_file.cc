#include "mesh/policy_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"

namespace signet::mesh {
namespace {

constexpr std::size_t kMaxTests = 100'000;

std::optional<Verdict> ParseVerdict(std::string_view text) {
  for (const Verdict verdict : {Verdict::kDeny, Verdict::kAllow, Verdict::kMalformed})
    if (VerdictName(verdict) == text) return verdict;
  return std::nullopt;
}

class FileReader {
 public:
  FileReader(PolicyFile* file, ConfigProblems* problems) : file_(*file), problems_(problems) {}

  void Read(ConfigMap& root, const std::string& path, bool follow) {
    ReadListeners(root, "inbound", follow);
    ReadListeners(root, "outbound", follow);
    std::vector<ConfigMap> tests = root.Maps("tests");
    if (tests.size() > kMaxTests)
      return root.Problem("tests", fmt::format("more than {} tests", kMaxTests));
    for (ConfigMap& test : tests) ReadTest(test);
    (void)root.Ignore("route_tests");  // of `signet route test`
    const auto rules_file = follow ? root.String("rules_file") : std::nullopt;
    // A proxy's configuration has settings that are not this reader's to judge.
    if (!rules_file && !is_proxy_) return root.Finish();
    if (!rules_file) return;
    std::filesystem::path other(*rules_file);
    if (other.is_relative()) other = std::filesystem::path(path).parent_path() / other;
    ConfigMap rules = ConfigMap::Load(other.string(), problems_);
    is_proxy_ = false;
    Read(rules, other.string(), false);
  }

  void CheckTests() {
    for (const PolicyTest& test : file_.tests) {
      if (file_.Find(test.listener) != nullptr) continue;
      problems_->Add(
          {test.file, test.line,
           test.listener.empty()
               ? fmt::format("test '{}' names no listener, and there is more than one", test.name)
               : fmt::format("test '{}': there is no listener '{}'", test.name,
                             EscapeForLog(test.listener, 80)),
           "listener: inbound/<name>"});
    }
  }

 private:
  void ReadListeners(ConfigMap& root, std::string_view direction, bool follow) {
    std::vector<ConfigMap> maps = root.Maps(direction);
    for (std::size_t i = 0; i < maps.size(); ++i) {
      ConfigMap& map = maps[i];
      const bool is_proxy = follow && (map.Has("listen") || map.Has("forward"));
      is_proxy_ = is_proxy_ || is_proxy;
      const std::string name = fmt::format(
          "{}/{}", direction, map.RequiredString("name", "the listener's name in the proxy"));
      const std::string protocol = map.String("protocol", is_proxy ? "tcp" : "http");
      const std::string path = fmt::format("{}[{}]", direction, i);
      const bool outbound = direction == "outbound";
      const RuleScope scope{name, path,
                            outbound            ? PolicyLayer::kPeer
                            : protocol == "tcp" ? PolicyLayer::kConnection
                                                : PolicyLayer::kRequest};
      const RequestPolicy policy = outbound ? RequestPolicy::ReadExpected(map, scope, problems_)
                                            : RequestPolicy::Read(map, scope, problems_);
      Add(name, policy, map);
      for (const char* key : {"routes", "backends", "rate_limits"}) (void)map.Ignore(key);
      if (!is_proxy) map.Finish();
    }
  }

  // Rules of a second place are added to those of the first.
  void Add(const std::string& name, const RequestPolicy& policy, const ConfigMap& map) {
    const auto known = std::ranges::find(file_.listeners, name, &PolicyListener::name);
    if (known == file_.listeners.end()) {
      file_.listeners.push_back({name, policy, map.file(), map.line()});
      return;
    }
    std::vector<PolicyRule> rules(known->policy.rules().begin(), known->policy.rules().end());
    rules.insert(rules.end(), policy.rules().begin(), policy.rules().end());
    if (rules.size() <= kMaxRules)
      known->policy = RequestPolicy(name, std::move(rules));
    else
      problems_->Add({map.file(),
                      map.line(),
                      fmt::format("{} has more than {} rules in all", name, kMaxRules),
                      {}});
  }

  static std::vector<std::pair<std::string, std::string>> ReadPairs(ConfigMap& test,
                                                                    std::string_view key) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (ConfigMap& item : test.Maps(key)) {
      std::string name = item.RequiredString("name", "a name");
      pairs.emplace_back(std::move(name), item.String("value", ""));
      item.Finish();
    }
    return pairs;
  }

  void ReadTest(ConfigMap& map) {
    PolicyTest test;
    test.file = map.file();
    test.line = map.line();
    test.name = map.RequiredString("name", "a sentence of what must hold");
    test.listener = map.String("listener", "");
    ReadCaller(map, &test.request);
    test.request.port = static_cast<std::uint16_t>(map.Int("port", 0, 0, 65535));
    test.request.method = map.String("method", "GET");
    test.request.path = map.String("path", "/");
    test.request.host = map.String("host", "localhost");
    test.request.grpc = map.Bool("grpc", false);
    test.request.headers = ReadPairs(map, "headers");
    test.request.claims = ReadPairs(map, "claims");
    ReadExpectations(map, &test);
    map.Finish();
    file_.tests.push_back(std::move(test));
  }

  static void ReadCaller(ConfigMap& map, WrittenRequest* request) {
    if (const auto caller = map.String("caller")) {
      auto id = identity::SpiffeId::Parse(*caller);
      if (id)
        request->caller = *std::move(id);
      else
        map.Problem("caller", id.error().Message(),
                    "a SPIFFE ID, such as spiffe://example.org/web");
    }
    if (const auto source = map.String("source")) {
      const auto address = IpAddress::Parse(*source);
      if (address)
        request->source = *address;
      else
        map.Problem("source", address.error().Message(), "an IP address");
    }
  }

  static void ReadExpectations(ConfigMap& map, PolicyTest* test) {
    constexpr const char* kHint = "allow, deny or malformed";
    const std::string expect = map.RequiredString("expect", kHint);
    if (const auto verdict = ParseVerdict(expect))
      test->expect = *verdict;
    else if (!expect.empty())
      map.Problem("expect", fmt::format("'{}' is not a verdict", EscapeForLog(expect, 40)), kHint);
    test->rule = map.String("rule", "");
    const auto audited = map.String("audit");
    if (!audited) return;
    test->audited = ParseVerdict(*audited);
    if (!test->audited)
      map.Problem("audit", fmt::format("'{}' is not a verdict", EscapeForLog(*audited, 40)), kHint);
  }

  PolicyFile& file_;
  ConfigProblems* problems_;
  bool is_proxy_ = false;
};

std::vector<NameValue> Views(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<NameValue> views;
  for (const auto& [name, value] : pairs) views.push_back({name, value});
  return views;
}

PolicyFile ReadAll(ConfigMap root, const std::string& path, ConfigProblems* problems) {
  PolicyFile file;
  FileReader reader(&file, problems);
  reader.Read(root, path, true);
  if (problems->empty()) reader.CheckTests();
  return file;
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kDeny:
      return "deny";
    case Verdict::kAllow:
      return "allow";
    case Verdict::kMalformed:
      return "malformed";
  }
  return "deny";
}

Decision WrittenRequest::DecideBy(const RequestPolicy& policy) const {
  const std::vector<NameValue> header_views = Views(headers);
  const std::vector<NameValue> claim_views = Views(claims);
  RequestFacts facts;
  facts.caller = &caller;
  facts.source = source;
  facts.port = port;
  facts.method = method;
  facts.path = path;
  facts.host = host;
  facts.grpc = grpc;
  facts.headers = header_views;
  facts.claims = claim_views;
  return policy.Decide(facts);
}

PolicyFile PolicyFile::Load(const std::string& path, ConfigProblems* problems) {
  return ReadAll(ConfigMap::Load(path, problems), path, problems);
}

PolicyFile PolicyFile::Parse(std::string_view text, const std::string& name,
                             ConfigProblems* problems) {
  return ReadAll(ConfigMap::Parse(text, name, problems), name, problems);
}

const PolicyListener* PolicyFile::Find(std::string_view listener) const {
  if (listener.empty()) return listeners.size() == 1 ? &listeners.front() : nullptr;
  const std::string whole = listener.find('/') == std::string_view::npos
                                ? "inbound/" + std::string(listener)
                                : std::string(listener);
  const auto found = std::ranges::find(listeners, whole, &PolicyListener::name);
  return found == listeners.end() ? nullptr : &*found;
}

std::string RunTest(const PolicyTest& test, const PolicyFile& file) {
  const PolicyListener* listener = file.Find(test.listener);
  if (listener == nullptr) return "its listener is not there";
  const Decision decision = test.request.DecideBy(listener->policy);
  const std::string reason = decision.Reason(&test.request.caller);
  if (decision.verdict != test.expect)
    return fmt::format("expected {}, got {}: {}", VerdictName(test.expect),
                       VerdictName(decision.verdict), reason);
  const std::string rule = decision.rule != nullptr ? decision.rule->name : "";
  if (!test.rule.empty() && rule != test.rule)
    return fmt::format("expected rule '{}' to decide: {}", test.rule, reason);
  const Verdict audited = decision.shadow.differs ? decision.shadow.verdict : decision.verdict;
  if (test.audited && audited != *test.audited)
    return fmt::format(
        "expected {} with the audit rules, got {}{}", VerdictName(*test.audited),
        VerdictName(audited),
        decision.shadow.rule != nullptr
            ? fmt::format(" by {} ({})", decision.shadow.rule->name, decision.shadow.rule->Place())
            : "");
  return {};
}

std::vector<std::string> ExplainId(std::string_view refusal_id, const PolicyFile& file) {
  const std::string_view id = refusal_id.substr(0, refusal_id.find('-'));
  std::vector<std::string> found;
  for (const PolicyListener& listener : file.listeners) {
    const std::string where =
        fmt::format("{} ({}:{})", listener.name, listener.file, listener.line);
    for (const PolicyRule& rule : listener.policy.rules())
      if (rule.id == id)
        found.push_back(fmt::format("{} by rule {} ({}) of {}",
                                    rule.effect == Effect::kDeny ? "denied" : "allowed", rule.name,
                                    rule.Place(), listener.name));
    if (id == listener.policy.no_rule_id())
      found.push_back(fmt::format("no rule of {} allows the request", where));
    if (id == listener.policy.malformed_id())
      found.push_back(fmt::format(
          "the path or host of the request to {} has no one meaning, and a rule asks for it",
          where));
  }
  return found;
}

}  // namespace signet::mesh
