// The rule a request takes, found by hash and not by walking, in the Gateway API's order of
// precedence: the longest exact hostname, the longest wildcard, no hostname; within that an exact
// path, a template (the one that fixes more), the longest prefix; then a method, more headers, more
// query parameters; then the order in which they were written.
//
//   const RouteChoice choice = table.Choose(facts);
//   switch (choice.verdict) { kNone: 404; kMalformed: 400; kFound: choice.rule, choice.match }
//
// Threads: immutable; Choose() runs in parallel.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "mesh/request_policy.h"
#include "mesh/routes/route.h"

namespace signet::mesh {

enum class RouteVerdict : std::uint8_t {
  kNone,       // no rule takes it: 404
  kFound,      //
  kMalformed,  // its path or host has no one meaning, and a rule asks for it: 400
};

struct RouteChoice {
  RouteVerdict verdict = RouteVerdict::kNone;
  TargetFault fault = TargetFault::kNone;  // of kMalformed
  // Of kFound; the table's.
  const RouteRule* rule = nullptr;
  const RouteMatch* match = nullptr;
};

class RouteTable {
 public:
  explicit RouteTable(std::vector<HttpRoute> routes);
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;
  ~RouteTable();

  // Looks at method, path, host and headers. Pure.
  RouteChoice Choose(const RequestFacts& facts) const;

  std::span<const HttpRoute> routes() const { return routes_; }
  // Facts without headers are enough when not.
  bool asks_headers() const { return asks_headers_; }

 private:
  struct Entry {
    const RouteMatch* match;
    const RouteRule* rule;
  };
  using Entries = std::vector<Entry>;
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  template <class T>
  using ByText = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;
  // The matches of one hostname.
  struct Host {
    ByText<Entries> exact, prefix;
    Entries templates;
  };

  void Add(const HttpRoute& route);
  static void Sort(Host* host);
  static const Entry* FindIn(const Host& host, std::string_view path, const RequestFacts& facts);

  const std::vector<HttpRoute> routes_;
  ByText<Host> hosts_;
  ByText<Host> below_;  // "*.example.org" by "example.org"
  Host any_;
  bool asks_path_ = false;
  bool asks_headers_ = false;
};

// Whether method, headers and query parameters are what `match` asks for; the path is not looked
// at.
bool ConditionsHold(const RouteMatch& match, const RequestFacts& facts);

}  // namespace signet::mesh
