#include "tools/ctl/output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/clock.h"

namespace signet::ctl {

std::string Table(const std::vector<std::string>& head,
                  const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::string& cell : head) widths.push_back(cell.size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += fmt::format("{:<{}}", row[i], widths[i] + 2);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(head);
  for (const auto& row : rows) add(row);
  return text;
}

std::string Details(const std::vector<std::pair<std::string, std::string>>& lines) {
  std::size_t width = 0;
  for (const auto& [name, value] : lines)
    if (!value.empty()) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : lines)
    if (!value.empty()) text += fmt::format("{:<{}}  {}\n", name + ":", width + 1, value);
  return text;
}

std::string Relative(std::int64_t unix_seconds, std::int64_t now) {
  if (unix_seconds == 0) return "never";
  const std::int64_t distance = unix_seconds - now;
  const std::string size = FormatDuration(std::chrono::seconds(std::abs(distance)));
  return distance >= 0 ? "in " + size : size + " ago";
}

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

}  // namespace signet::ctl
