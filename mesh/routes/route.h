// HTTP routes as they are written, in the shape and the words of the Gateway API's HTTPRoute: which
// requests a rule takes, what it changes, and which backends it names with what weights. Values
// only: reading them is route_reader.h's, finding the rule of a request route_table.h's, and
// carrying it out the proxy's. Where they came from (a file, a server) makes no difference here.
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "mesh/request_target.h"

namespace signet::mesh {

// Of a request's path, decoded; how PathMatch::Parse() reads `value`.
enum class PathMatchType : std::uint8_t {
  kPrefix,    // PathPrefix: by whole segments, a trailing slash does not count
  kExact,     // Exact
  kTemplate,  // PathTemplate: "/users/{id}/orders", may end in "/*"; not of the Gateway API
};

class PathMatch {
 public:
  // Every path.
  PathMatch() = default;
  // Fails with kPathPatternMalformed.
  static Result<PathMatch> Parse(PathMatchType type, std::string_view value);

  // `decoded`: a canonical path, decoded; empty: the request has none, which only "/" takes.
  bool Matches(std::string_view decoded) const;
  PathMatchType type() const { return type_; }
  // Decoded; of a prefix: without its trailing slash, so that of "/" it is empty.
  const std::string& literal() const { return literal_; }
  bool takes_all() const { return type_ == PathMatchType::kPrefix && literal_.empty(); }
  // How much of a path it fixes, in bytes: more of it goes first among matches of its type.
  std::size_t weight() const { return weight_; }
  // Of a prefix.
  std::size_t segments() const { return segments_; }

 private:
  PathMatchType type_ = PathMatchType::kPrefix;
  std::string literal_;
  std::optional<PathPattern> pattern_;  // of a template
  std::size_t weight_ = 0;
  std::size_t segments_ = 0;
};

// Of a header: all lines of its name as one value, joined by ", " (RFC 9110, 5.2). Of a query
// parameter: its first value, percent-decoded; kExact only.
struct ValueMatch {
  enum class Type : std::uint8_t { kExact, kPrefix, kPresent };
  std::string name;  // of a header: lower case
  Type type = Type::kExact;
  std::string value;
};

// All of it must hold.
struct RouteMatch {
  PathMatch path;
  std::string method;  // empty: any
  std::vector<ValueMatch> headers;
  std::vector<ValueMatch> query;
};

using NamedValue = std::pair<std::string, std::string>;

// Names in lower case. Removed first, then set (replacing), then added.
struct HeaderEdits {
  std::vector<std::string> remove;
  std::vector<NamedValue> set;
  std::vector<NamedValue> add;
  bool empty() const { return remove.empty() && set.empty() && add.empty(); }
};

struct PathEdit {
  enum class Type : std::uint8_t { kKeep, kReplaceFullPath, kReplacePrefixMatch };
  Type type = Type::kKeep;
  std::string value;
};

struct UrlRewrite {
  std::string hostname;  // empty: kept
  PathEdit path;
};

struct Redirect {
  std::string scheme;    // empty: the request's
  std::string hostname;  // empty: the request's
  int port = 0;          // 0: of the scheme if that is given, else the request's
  PathEdit path;
  int status = 302;
};

// A share of requests, in parts of a million.
using Share = std::uint32_t;
inline constexpr Share kAllShare = 1'000'000;

struct Mirror {
  std::string backend;
  Share share = kAllShare;
  bool all_methods = false;  // else GET, HEAD and OPTIONS only: a mirrored write is a second write
};

struct BackendRef {
  std::string backend;  // of the listener's backends; empty: its `forward`
  std::uint32_t weight = 1;
};

struct RouteTimeouts {
  Duration request{};          // from the request's head to the answer's last byte; 0: none
  Duration backend_request{};  // the same of one try; 0: none
};

// Off unless written.
struct RouteRetry {
  int attempts = 0;        // further ones
  std::vector<int> codes;  // statuses that are tried again
  Duration backoff{};      // before the first; doubled before each further one
};

struct RouteFault {
  Duration delay{};
  Share delay_share = 0;
  int abort_status = 0;  // HTTP's
  int abort_grpc = -1;   // for gRPC requests; -1: by the table of HTTP statuses
  Share abort_share = 0;
};

struct RouteRule {
  std::string name;  // "<route>/rules[0]" unless named: for logs, metrics and tests
  std::string file;
  int line = 0;
  std::vector<RouteMatch> matches;  // any of them; never empty
  HeaderEdits request_headers;
  HeaderEdits response_headers;
  std::optional<UrlRewrite> rewrite;
  std::optional<Redirect> redirect;
  std::vector<Mirror> mirrors;
  std::vector<BackendRef> backends;  // never empty, unless it redirects
  std::uint64_t total_weight = 0;    // of backends; 0: every request is answered 500
  RouteTimeouts timeouts;
  RouteRetry retry;
  RouteFault fault;

  std::string Place() const;  // "file:line"
};

struct HttpRoute {
  std::string name;
  std::vector<HostPattern> hostnames;  // without ports; empty: all
  std::vector<RouteRule> rules;
};

}  // namespace signet::mesh
