#include "mesh/routes/route_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/log.h"

namespace signet::mesh {
namespace {

constexpr std::size_t kMaxTests = 100'000;

std::optional<RouteVerdict> ParseVerdict(std::string_view text) {
  for (const RouteVerdict each :
       {RouteVerdict::kNone, RouteVerdict::kFound, RouteVerdict::kMalformed})
    if (RouteVerdictName(each) == text) return each;
  return std::nullopt;
}

std::vector<std::string> BackendsOf(const RouteRule& rule) {
  std::vector<std::string> names;
  for (const BackendRef& each : rule.backends)
    if (each.weight > 0) names.push_back(each.backend.empty() ? "forward" : each.backend);
  std::ranges::sort(names);
  return names;
}

class FileReader {
 public:
  FileReader(RouteFile* file, ConfigProblems* problems) : file_(*file), problems_(problems) {}

  void Read(ConfigMap& root, const std::string& path, bool follow) {
    bool is_proxy = false;
    for (const std::string_view direction : {"inbound", "outbound"})
      is_proxy = ReadListeners(root, direction, follow) || is_proxy;
    std::vector<ConfigMap> tests = root.Maps("route_tests");
    if (tests.size() > kMaxTests)
      return root.Problem("route_tests", fmt::format("more than {} tests", kMaxTests));
    for (ConfigMap& test : tests) ReadTest(test);
    (void)root.Ignore("tests");  // of `signet policy test`
    const auto rules_file = follow ? root.String("rules_file") : std::nullopt;
    // A proxy's configuration has settings that are not this reader's to judge.
    if (!rules_file && !is_proxy) return root.Finish();
    if (!rules_file) return;
    std::filesystem::path other(*rules_file);
    if (other.is_relative()) other = std::filesystem::path(path).parent_path() / other;
    ConfigMap rules = ConfigMap::Load(other.string(), problems_);
    Read(rules, other.string(), false);
  }

  void CheckTests() {
    for (const RouteTest& test : file_.tests)
      if (file_.Find(test.listener) == nullptr)
        problems_->Add({test.file, test.line,
                        fmt::format("test '{}': {}", test.name,
                                    test.listener.empty()
                                        ? "it names no listener, and there is not exactly one"
                                        : "no routes of '" + EscapeForLog(test.listener, 80) + "'"),
                        "listener: outbound/<name>"});
  }

 private:
  // Whether these are a proxy's own.
  bool ReadListeners(ConfigMap& root, std::string_view direction, bool follow) {
    bool any_of_proxy = false;
    std::vector<ConfigMap> maps = root.Maps(direction);
    for (std::size_t i = 0; i < maps.size(); ++i) {
      ConfigMap& map = maps[i];
      const bool forward = map.Has("forward");
      const bool of_proxy = follow && (map.Has("listen") || forward);
      any_of_proxy = any_of_proxy || of_proxy;
      const std::string name = fmt::format(
          "{}/{}", direction, map.RequiredString("name", "the listener's name in the proxy"));
      const std::string path = fmt::format("{}[{}]", direction, i);
      // Of a rules file it is not known here: the proxy says more when it reads both.
      const bool may_forward = forward || (!of_proxy && map.Has("routes"));
      Traffic traffic =
          ReadTraffic(map, {name, path, direction == "outbound", may_forward}, problems_);
      if (!traffic.empty())
        file_.listeners.push_back({name, std::move(traffic), map.file(), map.line()});
      for (const char* key : {"allow", "deny", "expect"}) (void)map.Ignore(key);
      if (!of_proxy) map.Finish();
    }
    return any_of_proxy;
  }

  void ReadTest(ConfigMap& map) {
    RouteTest test;
    test.file = map.file();
    test.line = map.line();
    test.name = map.RequiredString("name", "a sentence of what must hold");
    test.listener = map.String("listener", "");
    test.request.method = map.String("method", "GET");
    test.request.path = map.String("path", "/");
    test.request.host = map.String("host", "localhost");
    for (ConfigMap& item : map.Maps("headers")) {
      std::string name = item.RequiredString("name", "a name");
      test.request.headers.emplace_back(std::move(name), item.String("value", ""));
      item.Finish();
    }
    const std::string expect = map.String("expect", "found");
    if (const auto verdict = ParseVerdict(expect))
      test.expect = *verdict;
    else
      map.Problem("expect", fmt::format("'{}' is no outcome", EscapeForLog(expect, 40)),
                  "found, none or malformed");
    test.rule = map.String("rule", "");
    for (const ConfigScalar& each : map.Scalars("backends")) test.backends.push_back(each.text);
    std::ranges::sort(test.backends);
    map.Finish();
    file_.tests.push_back(std::move(test));
  }

  RouteFile& file_;
  ConfigProblems* problems_;
};

RouteFile ReadAll(ConfigMap root, const std::string& path, ConfigProblems* problems) {
  RouteFile file;
  FileReader reader(&file, problems);
  reader.Read(root, path, true);
  if (problems->empty()) reader.CheckTests();
  return file;
}

std::string Listed(const std::vector<std::string>& names) {
  return names.empty() ? std::string("none") : fmt::format("{}", fmt::join(names, ", "));
}

void ExplainBackends(const RouteRule& rule, std::vector<std::string>* said) {
  for (const BackendRef& each : rule.backends)
    said->push_back(fmt::format("to {}: {} of {}",
                                each.backend.empty() ? "the listener's forward" : each.backend,
                                each.weight, rule.total_weight));
  if (!rule.redirect && rule.total_weight == 0) said->push_back("to nobody: all weights are 0");
}

void ExplainChanges(const RouteRule& rule, std::vector<std::string>* said) {
  if (rule.redirect) said->push_back(fmt::format("redirected with {}", rule.redirect->status));
  if (rule.rewrite) said->push_back("host or path are rewritten");
  if (!rule.request_headers.empty()) said->push_back("fields of the request are edited");
  if (!rule.response_headers.empty()) said->push_back("fields of the answer are edited");
  for (const Mirror& each : rule.mirrors)
    said->push_back(
        fmt::format("mirrored to {}{}", each.backend, each.all_methods ? ", writes too" : ""));
  if (rule.timeouts.request > Duration::zero())
    said->push_back("at most " + FormatDuration(rule.timeouts.request));
  if (rule.retry.attempts > 0)
    said->push_back(fmt::format("tried up to {} times more", rule.retry.attempts));
  if (rule.fault.delay_share > 0 || rule.fault.abort_share > 0)
    said->push_back("a share of requests is delayed or aborted on purpose");
}

}  // namespace

std::string_view RouteVerdictName(RouteVerdict verdict) {
  switch (verdict) {
    case RouteVerdict::kNone:
      return "none";
    case RouteVerdict::kFound:
      return "found";
    case RouteVerdict::kMalformed:
      return "malformed";
  }
  return "none";
}

RouteChoice WrittenRouteRequest::ChooseBy(const Traffic& traffic) const {
  if (!traffic.routes) return {};
  std::vector<NameValue> views;
  for (const auto& [name, value] : headers) views.push_back({name, value});
  RequestFacts facts;
  facts.method = method;
  facts.path = path;
  facts.host = host;
  facts.headers = views;
  return traffic.routes->Choose(facts);
}

RouteFile RouteFile::Load(const std::string& path, ConfigProblems* problems) {
  return ReadAll(ConfigMap::Load(path, problems), path, problems);
}

RouteFile RouteFile::Parse(std::string_view text, const std::string& name,
                           ConfigProblems* problems) {
  return ReadAll(ConfigMap::Parse(text, name, problems), name, problems);
}

const RouteListener* RouteFile::Find(std::string_view listener) const {
  if (listener.empty()) return listeners.size() == 1 ? &listeners.front() : nullptr;
  const std::string whole = listener.find('/') == std::string_view::npos
                                ? "inbound/" + std::string(listener)
                                : std::string(listener);
  const auto found = std::ranges::find(listeners, whole, &RouteListener::name);
  return found == listeners.end() ? nullptr : &*found;
}

std::string RunTest(const RouteTest& test, const RouteFile& file) {
  const RouteListener* listener = file.Find(test.listener);
  if (listener == nullptr) return "its listener is not there";
  const RouteChoice choice = test.request.ChooseBy(listener->traffic);
  const std::string got = choice.rule != nullptr
                              ? fmt::format("rule {} ({})", choice.rule->name, choice.rule->Place())
                              : std::string(RouteVerdictName(choice.verdict));
  if (choice.verdict != test.expect)
    return fmt::format("expected {}, got {}", RouteVerdictName(test.expect), got);
  if (!test.rule.empty() && (choice.rule == nullptr || choice.rule->name != test.rule))
    return fmt::format("expected rule '{}', got {}", test.rule, got);
  if (test.backends.empty()) return {};
  const std::vector<std::string> backends =
      choice.rule != nullptr ? BackendsOf(*choice.rule) : std::vector<std::string>();
  if (backends == test.backends) return {};
  return fmt::format("expected backends {}, got {} by {}", Listed(test.backends), Listed(backends),
                     got);
}

std::vector<std::string> Explain(const RouteChoice& choice) {
  std::vector<std::string> said;
  if (choice.verdict == RouteVerdict::kMalformed)
    return {fmt::format("malformed: {}; it is answered 400", Describe(choice.fault))};
  if (choice.rule == nullptr) return {"no rule takes it: it is answered 404"};
  said.push_back(fmt::format("rule {} ({})", choice.rule->name, choice.rule->Place()));
  ExplainBackends(*choice.rule, &said);
  ExplainChanges(*choice.rule, &said);
  return said;
}

}  // namespace signet::mesh
