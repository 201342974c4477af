#include "base/config.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/file.h"

namespace signet {
namespace {

constexpr std::size_t kConfigLimit = 4U << 20;

int LineOf(const YAML::Node& node) { return node.Mark().is_null() ? 0 : node.Mark().line + 1; }

// Edit distance, for "did you mean".
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// Where the second document of a text begins; its contents are dropped unread.
class DocumentStarts final : public YAML::EventHandler {
 public:
  int second() const { return second_; }  // 0: there is none

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++count_ == 2) second_ = mark.line + 1;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  int count_ = 0;
  int second_ = 0;
};

// At most two are looked at: at a token that begins none (a comma, say) yaml-cpp finds one empty
// document after another for ever, which YAML::LoadAll() would collect.
int SecondDocument(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  if (parser.HandleNextDocument(starts)) parser.HandleNextDocument(starts);
  return starts.second();
}

// A key that is there twice: YAML readers differ on which one counts, so neither may.
void ReportRepeated(const YAML::Node& map, const std::string& file, const std::string& prefix,
                    ConfigProblems* problems) {
  std::set<std::string> seen;
  for (const auto& item : map)
    if (item.first.IsScalar() && !seen.insert(item.first.Scalar()).second)
      problems->Add({file, LineOf(item.first),
                     fmt::format("'{}{}' is set twice", prefix, item.first.Scalar()), "keep one"});
}

}  // namespace

struct ConfigMap::State {
  YAML::Node node;  // a map or null
  std::string file;
  std::string prefix;  // "inbound[0]."
  ConfigProblems* problems = nullptr;
  std::set<std::string, std::less<>> asked;
};

std::string ConfigProblems::Text() const {
  std::string text;
  for (const ConfigProblem& p : problems_) {
    text += p.line > 0 ? fmt::format("{}:{}: {}", p.file, p.line, p.message)
                       : fmt::format("{}: {}", p.file, p.message);
    if (!p.hint.empty()) text += fmt::format(" ({})", p.hint);
    text += '\n';
  }
  return text;
}

ConfigMap::ConfigMap(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConfigMap::~ConfigMap() = default;
ConfigMap::ConfigMap(ConfigMap&&) noexcept = default;
ConfigMap& ConfigMap::operator=(ConfigMap&&) noexcept = default;

ConfigMap ConfigMap::Load(const std::string& path, ConfigProblems* problems) {
  auto content = ReadFile(path, kConfigLimit);
  if (content) return Parse(AsText(*content), path, problems);
  problems->Add({path, 0, content.error().Message(), "give the path of a readable YAML file"});
  return Parse("{}", path, problems);
}

ConfigMap ConfigMap::Parse(std::string_view text, std::string name, ConfigProblems* problems) {
  auto state = std::make_unique<State>();
  state->file = std::move(name);
  state->problems = problems;
  try {  // yaml-cpp throws
    const std::string whole(text);
    state->node = YAML::Load(whole);
    if (const int line = SecondDocument(whole); line > 0) {
      const bool marked = whole.starts_with("---") || whole.find("\n---") != std::string::npos;
      problems->Add({state->file, line,
                     marked ? "more than one document in the file"
                            : "not valid YAML: what stands here belongs to nothing before it",
                     marked ? "remove what follows the line \"---\"" : "key: value, a line each"});
    }
  } catch (const YAML::Exception& e) {
    problems->Add(
        {state->file, e.mark.is_null() ? 0 : e.mark.line + 1, "not valid YAML: " + e.msg, {}});
    state->node = YAML::Node(YAML::NodeType::Map);
  }
  if (!state->node.IsMap() && !state->node.IsNull()) {
    problems->Add({state->file, LineOf(state->node), "the file must hold a map of settings",
                   "key: value, a line each"});
    state->node = YAML::Node(YAML::NodeType::Map);
  }
  if (state->node.IsNull()) state->node = YAML::Node(YAML::NodeType::Map);
  ReportRepeated(state->node, state->file, state->prefix, problems);
  return ConfigMap(std::move(state));
}

bool ConfigMap::Has(std::string_view key) const {
  const YAML::Node& node = state_->node;
  return node[std::string(key)].IsDefined() && !node[std::string(key)].IsNull();
}

int ConfigMap::Line(std::string_view key) const {
  for (const auto& item : state_->node)
    if (item.first.IsScalar() && item.first.Scalar() == key) return LineOf(item.first);
  return line();
}

std::optional<std::string> ConfigMap::String(std::string_view key) {
  state_->asked.emplace(key);
  if (!Has(key)) return std::nullopt;
  const YAML::Node value = std::as_const(state_->node)[std::string(key)];
  if (!value.IsScalar()) {
    Problem(key, fmt::format("'{}{}' must be a text", state_->prefix, key));
    return std::nullopt;
  }
  return value.Scalar();
}

std::string ConfigMap::String(std::string_view key, std::string_view fallback) {
  return String(key).value_or(std::string(fallback));
}

std::string ConfigMap::RequiredString(std::string_view key, std::string_view hint) {
  auto value = String(key);
  if (value && !value->empty()) return *value;
  if (!Has(key) || (value && value->empty()))
    Problem(key, fmt::format("'{}{}' is missing", state_->prefix, key), std::string(hint));
  return {};
}

bool ConfigMap::Bool(std::string_view key, bool fallback) {
  const auto text = String(key);
  if (!text) return fallback;
  if (*text == "true" || *text == "yes" || *text == "on") return true;
  if (*text == "false" || *text == "no" || *text == "off") return false;
  Problem(key, fmt::format("'{}{}' is '{}', not true or false", state_->prefix, key, *text));
  return fallback;
}

std::int64_t ConfigMap::Int(std::string_view key, std::int64_t fallback, std::int64_t min,
                            std::int64_t max) {
  const auto text = String(key);
  if (!text) return fallback;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error == std::errc() && end == text->data() + text->size() && value >= min && value <= max)
    return value;
  Problem(key, fmt::format("'{}{}' is '{}'", state_->prefix, key, *text),
          fmt::format("a whole number from {} to {}", min, max));
  return fallback;
}

signet::Duration ConfigMap::Duration(std::string_view key, signet::Duration fallback,
                                     signet::Duration min, signet::Duration max) {
  const auto text = String(key);
  if (!text) return fallback;
  const auto value = ParseDuration(*text);
  if (value && *value >= min && *value <= max) return *value;
  Problem(key, fmt::format("'{}{}' is '{}'", state_->prefix, key, *text),
          fmt::format("a duration such as 90s or 1h30m, from {} to {}", FormatDuration(min),
                      FormatDuration(max)));
  return fallback;
}

std::optional<ConfigMap> ConfigMap::Map(std::string_view key) {
  state_->asked.emplace(key);
  if (!Has(key)) return std::nullopt;
  const YAML::Node value = std::as_const(state_->node)[std::string(key)];
  if (!value.IsMap()) {
    Problem(key, fmt::format("'{}{}' must be a map", state_->prefix, key),
            "indented key: value lines");
    return std::nullopt;
  }
  auto state = std::make_unique<State>();
  state->node = value;
  state->file = state_->file;
  state->prefix = fmt::format("{}{}.", state_->prefix, key);
  state->problems = state_->problems;
  ReportRepeated(state->node, state->file, state->prefix, state->problems);
  return ConfigMap(std::move(state));
}

std::vector<ConfigMap> ConfigMap::Maps(std::string_view key) {
  state_->asked.emplace(key);
  std::vector<ConfigMap> maps;
  if (!Has(key)) return maps;
  const YAML::Node value = std::as_const(state_->node)[std::string(key)];
  if (!value.IsSequence()) {
    Problem(key, fmt::format("'{}{}' must be a list", state_->prefix, key),
            "items that start with '- '");
    return maps;
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!value[i].IsMap()) {
      ProblemAtLine(LineOf(value[i]),
                    fmt::format("'{}{}[{}]' must be a map", state_->prefix, key, i));
      continue;
    }
    auto state = std::make_unique<State>();
    state->node = value[i];
    state->file = state_->file;
    state->prefix = fmt::format("{}{}[{}].", state_->prefix, key, i);
    state->problems = state_->problems;
    ReportRepeated(state->node, state->file, state->prefix, state->problems);
    maps.push_back(ConfigMap(std::move(state)));
  }
  return maps;
}

std::vector<ConfigScalar> ConfigMap::Scalars(std::string_view key) {
  state_->asked.emplace(key);
  std::vector<ConfigScalar> scalars;
  if (!Has(key)) return scalars;
  const YAML::Node value = std::as_const(state_->node)[std::string(key)];
  if (!value.IsSequence()) {
    Problem(key, fmt::format("'{}{}' must be a list", state_->prefix, key),
            "items that start with '- '");
    return scalars;
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i].IsScalar())
      scalars.push_back({value[i].Scalar(), LineOf(value[i])});
    else
      ProblemAtLine(LineOf(value[i]),
                    fmt::format("'{}{}[{}]' must be a text", state_->prefix, key, i));
  }
  return scalars;
}

bool ConfigMap::Ignore(std::string_view key) {
  state_->asked.emplace(key);
  return Has(key);
}

void ConfigMap::Problem(std::string_view key, std::string message, std::string hint) {
  ProblemAtLine(Line(key), std::move(message), std::move(hint));
}

void ConfigMap::ProblemAtLine(int line, std::string message, std::string hint) {
  state_->problems->Add({state_->file, line, std::move(message), std::move(hint)});
}

void ConfigMap::Finish() {
  for (const auto& item : state_->node) {
    if (!item.first.IsScalar() || state_->asked.contains(item.first.Scalar())) continue;
    const std::string& name = item.first.Scalar();
    std::string hint;
    std::size_t best = 3;
    for (const std::string& known : state_->asked) {
      if (const std::size_t distance = Distance(name, known); distance < best) {
        best = distance;
        hint = fmt::format("did you mean '{}'?", known);
      }
    }
    ProblemAtLine(LineOf(item.first), fmt::format("unknown setting '{}{}'", state_->prefix, name),
                  hint);
  }
}

const std::string& ConfigMap::file() const { return state_->file; }
int ConfigMap::line() const { return LineOf(state_->node); }

std::optional<Duration> ParseDuration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t nanoseconds;
  };
  static constexpr Unit kUnits[] = {{"ms", 1'000'000},        {"us", 1'000},
                                    {"s", 1'000'000'000},     {"m", 60'000'000'000},
                                    {"h", 3'600'000'000'000}, {"d", 86'400'000'000'000}};
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  while (!text.empty()) {
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || count < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const Unit* unit =
        std::ranges::find_if(kUnits, [&](const Unit& u) { return text.starts_with(u.name); });
    if (unit == std::end(kUnits)) return std::nullopt;
    text.remove_prefix(unit->name.size());
    std::int64_t part = 0;
    if (__builtin_mul_overflow(count, unit->nanoseconds, &part) ||
        __builtin_add_overflow(total, part, &total))
      return std::nullopt;
  }
  return Duration(total);
}

}  // namespace signet
