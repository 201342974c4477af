// What the CLI prints: tables for people, JSON for programs.
#pragma once

#include <string>
#include <vector>

namespace signet::ctl {

enum class Format { kText, kJson };

// Columns as wide as their widest cell, two spaces between, no trailing blanks.
std::string Table(const std::vector<std::string>& head,
                  const std::vector<std::vector<std::string>>& rows);
// "Name:   value" lines with aligned values; empty values are left out.
std::string Details(const std::vector<std::pair<std::string, std::string>>& lines);
// "in 42m" / "7m ago", seconds relative to `now`; "never" for 0.
std::string Relative(std::int64_t unix_seconds, std::int64_t now);
void Print(const std::string& text);

}  // namespace signet::ctl
