#include "base/open_metrics.h"

namespace signet {
namespace {

constexpr std::string_view kHelp = "# HELP ";
constexpr std::string_view kType = "# TYPE ";
constexpr std::string_view kTotal = "_total";
constexpr std::string_view kCounter = " counter";

std::string_view NextLine(std::string_view* rest) {
  const std::size_t end = rest->find('\n');
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return line;
}

// "# HELP name_total text" → "# HELP name text"; likewise for TYPE.
void AddWithoutTotal(std::string_view line, std::string_view mark, std::string* out) {
  const std::size_t end = line.find(' ', mark.size());
  std::string_view name = line.substr(mark.size(), end - mark.size());
  if (name.ends_with(kTotal)) name.remove_suffix(kTotal.size());
  *out += mark;
  *out += name;
  if (end != std::string_view::npos) *out += line.substr(end);
  *out += '\n';
}

bool IsCounter(std::string_view type_line) { return type_line.ends_with(kCounter); }

}  // namespace

std::string ToOpenMetrics(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::string_view help;  // waits for its type
  while (!text.empty()) {
    const std::string_view line = NextLine(&text);
    if (line.starts_with(kHelp)) {
      help = line;
      continue;
    }
    if (!line.starts_with(kType)) {
      if (!line.empty()) (out += line) += '\n';
      continue;
    }
    if (IsCounter(line)) {
      if (!help.empty()) AddWithoutTotal(help, kHelp, &out);
      AddWithoutTotal(line, kType, &out);
    } else {
      if (!help.empty()) (out += help) += '\n';
      (out += line) += '\n';
    }
    help = {};
  }
  return out + "# EOF\n";
}

bool AcceptsOpenMetrics(std::string_view accept) {
  return accept.find("application/openmetrics-text") != std::string_view::npos;
}

}  // namespace signet
