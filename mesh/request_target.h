// Paths and hosts of requests as rules compare them. What different servers would read differently
// is never normalised: it has no canonical form, and the caller answers 400.
//
// Threads: pure functions and values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace signet::mesh {

inline constexpr Reason kPathPatternMalformed{"malformed path pattern"};
inline constexpr Reason kHostPatternMalformed{"malformed host pattern"};

inline constexpr std::size_t kMaxPathBytes = 32768;
inline constexpr std::size_t kMaxHostBytes = 260;  // a DNS name and a port

// Why a request's path or host has no one meaning. kNone is the zero value: callers test for it.
enum class TargetFault : std::uint8_t {
  kNone,
  kNotAbsolute,     // does not start with a slash: empty, absolute-form, "*"
  kTooLong,         // more than kMaxPathBytes before the query
  kEmptySegment,    // "//"
  kDotSegment,      // ".", "..", also with dots encoded
  kSeparator,       // "\" or ";", or "/", "\" or ";" encoded
  kControl,         // a byte below 0x20 or 0x7f, raw (also a space) or encoded, NUL among them
  kFragment,        // "#"
  kNotAscii,        // a raw byte above 0x7f
  kBadEscape,       // "%" without two hex digits
  kDoubleEscape,    // "%25" followed by two hex digits
  kNeedlessEscape,  // an encoded letter, digit or dot
  kBadUtf8,         // encoded bytes that are not UTF-8, overlong forms among them
  kHostMalformed,   // empty, with user, trailing dot, or bytes no host name or address has
};
std::string_view Describe(TargetFault fault);

// The part of a request target that rules look at: all before the first '?'.
std::string_view PathOf(std::string_view target);

// The first fault of `path` (no query).
TargetFault CheckCanonicalPath(std::string_view path);

// Appends `path`, whose escapes are well-formed, with escapes decoded to `out`. Two spellings of
// one path ("%C3%A9" and "%c3%a9", "%40" and "@") come out the same; segments stay apart, because a
// canonical path holds no encoded slash.
void DecodePath(std::string_view path, std::string* out);

// One exact path ("/users"), a segment prefix ("/static/*": what is below, not "/static" itself),
// every path ("/*"), or a template ("/users/{id}/orders": a placeholder is one whole segment that
// is not empty). A template may end in "/*".
class PathPattern {
 public:
  struct Segment {
    bool any = false;  // a placeholder
    std::string text;  // decoded; of a placeholder: its name
  };

  // Fails with kPathPatternMalformed.
  static Result<PathPattern> Parse(std::string_view text);
  // "package.Service/Method" or "package.Service/*". Fails with kPathPatternMalformed.
  static Result<PathPattern> ParseGrpc(std::string_view text);

  // `decoded`: a canonical path, decoded.
  bool Matches(std::string_view decoded) const;

  const std::string& text() const { return text_; }
  const std::vector<Segment>& segments() const { return segments_; }
  bool below() const { return below_; }  // ends in "/*"

 private:
  std::string text_;
  std::vector<Segment> segments_;
  bool below_ = false;
};

// A host as sent ("API.example.org:8443", "[::1]:80"), taken apart. Views into what was parsed.
struct HostParts {
  TargetFault fault = TargetFault::kHostMalformed;
  std::string name;       // lower case, without port
  std::string_view port;  // digits, or empty
};
HostParts ParseHost(std::string_view host);

// "api.example.org" (any port), "api.example.org:8443" (that port only), "*.example.org" (names
// below). Letter case does not count.
class HostPattern {
 public:
  // Fails with kHostPatternMalformed.
  static Result<HostPattern> Parse(std::string_view text);
  bool Matches(const HostParts& host) const;

  const std::string& text() const { return text_; }
  const std::string& name() const { return name_; }  // of "*.example.org": "example.org"
  const std::string& port() const { return port_; }
  bool below() const { return below_; }

 private:
  std::string text_;
  std::string name_;
  std::string port_;
  bool below_ = false;
};

}  // namespace signet::mesh
