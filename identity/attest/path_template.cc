#include "identity/attest/path_template.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace signet::identity {
namespace {

constexpr std::size_t kMaxTemplateBytes = 1024;
constexpr std::size_t kMaxIndex = 255;
constexpr std::string_view kPluginName = ".PluginName";
constexpr std::string_view kSpace = " \t\r\n";

// SPIRE's attestors, whether we have them or not.
constexpr std::array<std::string_view, 9> kAttestorTypes = {
    "join_token", "x509pop", "sshpop",     "tpm_devid", "http_challenge",
    "k8s_psat",   "aws_iid", "azure_imds", "gcp_iit"};

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kTemplateMalformed, std::move(detail));
}

tl::unexpected<Error> Unfilled(std::string detail) {
  return Fail(Code::kPermissionDenied, kTemplateUnfilled, std::move(detail));
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool Names(const TemplateField& field, std::string_view name) {
  if (!field.name.ends_with(".*")) return field.name == name;
  const std::string_view stem = field.name.substr(0, field.name.size() - 1);
  return name.size() > stem.size() && name.starts_with(stem);
}

// An action's words: names, numbers, bars, and strings in quotation marks (kept with the first).
Result<std::vector<std::string>> SplitAction(std::string_view action) {
  std::vector<std::string> words;
  while (true) {
    while (!action.empty() && kSpace.find(action.front()) != kSpace.npos) action.remove_prefix(1);
    if (action.empty()) return words;
    if (action.front() == '"') {
      const auto end = action.find('"', 1);
      if (end == action.npos || action.substr(0, end).find('\\') != action.npos)
        return Malformed("a string without its end, or with a backslash");
      words.emplace_back(action.substr(0, end));
      action.remove_prefix(end + 1);
    } else if (action.front() == '|') {
      words.emplace_back("|");
      action.remove_prefix(1);
    } else {
      const auto end = std::min(action.find_first_of(" \t\r\n|\""), action.size());
      words.emplace_back(action.substr(0, end));
      action.remove_prefix(end);
    }
  }
}

}  // namespace

class PathTemplate::Parser {
 public:
  explicit Parser(std::span<const TemplateField> fields) : fields_(fields) {}

  Result<Part> ParseAction(std::string_view action) {
    SIGNET_TRY(words_, SplitAction(action));
    at_ = 0;
    Part part;
    SIGNET_RETURN_IF_ERROR(ParseHead(&part));
    while (at_ < words_.size()) {
      if (Next() != "|") return Malformed("\"" + words_[at_ - 1] + "\" is not expected");
      SIGNET_TRY(Step step, ParseFunction());
      part.steps.push_back(std::move(step));
    }
    return part;
  }

 private:
  // ".Field", "index .Field 0", or a function with the field as its last argument.
  Status ParseHead(Part* part) {
    if (at_ < words_.size() && words_[at_].starts_with('.')) return ParseField(part, false);
    if (at_ < words_.size() && words_[at_] == "index") {
      ++at_;
      SIGNET_RETURN_IF_ERROR(ParseField(part, true));
      const std::string number = Next();
      const char* end = number.data() + number.size();
      const auto [stop, error] = std::from_chars(number.data(), end, part->index);
      if (error != std::errc() || stop != end || part->index > kMaxIndex)
        return Malformed("index takes a number of at most 255 behind the list");
      return {};
    }
    SIGNET_TRY(Step step, ParseFunction());
    part->steps.push_back(std::move(step));
    return ParseField(part, false);
  }

  Status ParseField(Part* part, bool indexed) {
    const std::string name = Next();
    const auto known = std::find_if(fields_.begin(), fields_.end(),
                                    [&](const auto& field) { return Names(field, name); });
    if (known == fields_.end()) return Malformed(UnknownField(name));
    if (known->is_list != indexed)
      return Malformed(name +
                       (indexed ? " is no list" : " is a list: write {{ index " + name + " 0 }}"));
    part->field = name;
    part->has_slashes = known->has_slashes;
    return {};
  }

  std::string UnknownField(std::string_view name) const {
    std::string text = "\"" + std::string(name) + "\" is none of";
    for (const auto& field : fields_) text += " " + std::string(field.name);
    return text;
  }

  Result<Step> ParseFunction() {
    const std::string name = Next();
    if (name == "lower") return Step{Function::kLower, {}};
    if (name == "upper") return Step{Function::kUpper, {}};
    if (name != "trimPrefix" && name != "trimSuffix")
      return Malformed("\"" + name + "\" is none of index, lower, upper, trimPrefix, trimSuffix");
    const std::string argument = Next();
    if (!argument.starts_with('"')) return Malformed(name + " takes a string in quotation marks");
    return Step{name == "trimPrefix" ? Function::kTrimPrefix : Function::kTrimSuffix,
                argument.substr(1)};
  }

  std::string Next() { return at_ < words_.size() ? words_[at_++] : std::string(); }

  const std::span<const TemplateField> fields_;
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

Result<PathTemplate> PathTemplate::Parse(std::string_view text,
                                         std::span<const TemplateField> fields) {
  if (text.empty() || text.size() > kMaxTemplateBytes)
    return Malformed("a template has 1 to 1024 bytes");
  PathTemplate result;
  result.text_ = text;
  if (!text.starts_with('/')) result.parts_.push_back({"/", {}, 0, false, {}});
  Parser parser(fields);
  bool tells_apart = false;
  for (std::string_view rest = text; !rest.empty();) {
    const auto open = rest.find("{{");
    if (open != 0) result.parts_.push_back({std::string(rest.substr(0, open)), {}, 0, false, {}});
    if (open == rest.npos) break;
    const auto close = rest.find("}}", open);
    if (close == rest.npos) return Malformed("{{ without its }}");
    SIGNET_TRY(Part part, parser.ParseAction(rest.substr(open + 2, close - open - 2)));
    tells_apart = tells_apart || part.field != kPluginName;
    result.parts_.push_back(std::move(part));
    rest.remove_prefix(close + 2);
  }
  if (!tells_apart) return Malformed("no field of the node is in it: all would have one ID");
  return result;
}

Result<std::string> PathTemplate::Fill(const TemplateValues& values) const {
  std::string path;
  for (const Part& part : parts_) {
    if (part.field.empty()) {
      path += part.literal;
      continue;
    }
    const auto found = values.find(part.field);
    if (found == values.end() || part.index >= found->second.size())
      return Unfilled("the node shows no " + part.field);
    std::string value = found->second[part.index];
    for (const Step& step : part.steps) {
      switch (step.function) {
        case Function::kLower:
          std::transform(value.begin(), value.end(), value.begin(), Lower);
          break;
        case Function::kUpper:
          std::transform(value.begin(), value.end(), value.begin(), Upper);
          break;
        case Function::kTrimPrefix:
          if (value.starts_with(step.argument)) value.erase(0, step.argument.size());
          break;
        case Function::kTrimSuffix:
          if (value.ends_with(step.argument)) value.resize(value.size() - step.argument.size());
          break;
      }
    }
    if (value.empty()) return Unfilled(part.field + " is empty");
    if (!part.has_slashes && value.find('/') != value.npos)
      return Unfilled(part.field + " holds a slash, and one segment of the path is meant");
    path += value;
  }
  SIGNET_RETURN_IF_ERROR(CheckPath(path));
  return path;
}

Result<SpiffeId> TemplateAgentId(const TrustDomain& trust_domain, std::string_view type,
                                 const PathTemplate& path, const TemplateValues& values) {
  SIGNET_TRY(const std::string filled, path.Fill(values));
  const std::string_view first = std::string_view(filled).substr(1, filled.find('/', 1) - 1);
  if (first != type &&
      std::find(kAttestorTypes.begin(), kAttestorTypes.end(), first) != kAttestorTypes.end())
    return Unfilled("\"" + filled + "\" is among the agents of " + std::string(first));
  return SpiffeId::FromPath(trust_domain, "/spire/agent" + filled);
}

}  // namespace signet::identity
