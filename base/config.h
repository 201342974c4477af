// Reading YAML configuration: every problem with file, line and a hint, all of them at once, and
// unknown keys are problems too. Text -> ConfigMap -> one immutable struct per program.
//
//   ConfigProblems problems;
//   auto root = ConfigMap::Load(path, &problems);           // or Parse(text, name, &problems)
//   config.listen = root.String("listen", "0.0.0.0:8081");
//   config.ttl = root.Duration("ca_ttl", 24h, 1min, 8760h);
//   if (auto tls = root.Map("tls")) { ...; tls->Finish(); }
//   root.Finish();                                           // reports keys nobody asked for
//   if (!problems.empty()) print problems.Text() and stop
//
// Threads: none; used at start and in reloads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace YAML {
class Node;
}

namespace signet {

struct ConfigProblem {
  std::string file;
  int line = 0;  // from 1; 0 when there is none
  std::string message;
  std::string hint;  // what to do; may be empty
};

class ConfigProblems {
 public:
  void Add(ConfigProblem problem) { problems_.push_back(std::move(problem)); }
  bool empty() const { return problems_.empty(); }
  const std::vector<ConfigProblem>& all() const { return problems_; }
  // "file:line: message (hint)", a line each.
  std::string Text() const;

 private:
  std::vector<ConfigProblem> problems_;
};

class ConfigMap;

// One scalar of a list, with its place.
struct ConfigScalar {
  std::string text;
  int line = 0;
};

class ConfigMap {
 public:
  // An unreadable or malformed file is a problem, and the map returned is empty.
  static ConfigMap Load(const std::string& path, ConfigProblems* problems);
  static ConfigMap Parse(std::string_view text, std::string name, ConfigProblems* problems);
  ~ConfigMap();
  ConfigMap(ConfigMap&&) noexcept;
  ConfigMap& operator=(ConfigMap&&) noexcept;

  bool Has(std::string_view key) const;
  // Line of `key`, or of the map itself when absent.
  int Line(std::string_view key) const;

  // Absent optional: key absent. A wrong type is a problem and answers as if absent.
  std::optional<std::string> String(std::string_view key);
  std::string String(std::string_view key, std::string_view fallback);
  // Absence is a problem; `hint` says what to write.
  std::string RequiredString(std::string_view key, std::string_view hint);
  bool Bool(std::string_view key, bool fallback);
  std::int64_t Int(std::string_view key, std::int64_t fallback, std::int64_t min, std::int64_t max);
  // "90s", "1h30m", "250ms", "2d".
  signet::Duration Duration(std::string_view key, signet::Duration fallback, signet::Duration min,
                            signet::Duration max);
  std::optional<ConfigMap> Map(std::string_view key);
  // Empty when absent. Each element must be a map / a scalar.
  std::vector<ConfigMap> Maps(std::string_view key);
  std::vector<ConfigScalar> Scalars(std::string_view key);

  // Knows `key` without reading it, so that Finish() is content; answers whether it is there.
  bool Ignore(std::string_view key);

  // Reports a problem at `key`'s line.
  void Problem(std::string_view key, std::string message, std::string hint = {});
  void ProblemAtLine(int line, std::string message, std::string hint = {});
  // Call last: each key that was not asked for is a problem, with the nearest known name as hint.
  void Finish();

  const std::string& file() const;
  int line() const;

 private:
  struct State;
  explicit ConfigMap(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// "90s", "1h30m", "250ms", "2d", "0s". Absent when malformed or out of range.
std::optional<Duration> ParseDuration(std::string_view text);

}  // namespace signet
