#include "mesh/request_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"

namespace signet::mesh {
namespace {

constexpr std::string_view kBelow = "/*";
constexpr std::size_t kMaxSegments = 64;  // of a pattern

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The byte that "%XY" at `at` stands for; -1 when it is none.
int EscapeAt(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size()) return -1;
  const int high = HexDigit(text[at + 1]);
  const int low = HexDigit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

TargetFault FaultOfRaw(unsigned char c) {
  if (c <= 0x20 || c == 0x7f) return TargetFault::kControl;
  if (c > 0x7f) return TargetFault::kNotAscii;
  if (c == '\\' || c == ';') return TargetFault::kSeparator;
  if (c == '#') return TargetFault::kFragment;
  return TargetFault::kNone;
}

// What is wrong with the escape at `at`, whose byte is `byte`.
TargetFault FaultOfEscape(std::string_view path, std::size_t at, int byte) {
  if (byte < 0) return TargetFault::kBadEscape;
  if (byte < 0x20 || byte == 0x7f) return TargetFault::kControl;
  const char c = static_cast<char>(byte);
  if (c == '/' || c == '\\' || c == ';') return TargetFault::kSeparator;
  if (c == '.' || IsLetter(c) || IsDigit(c)) return TargetFault::kNeedlessEscape;
  if (c == '%' && at + 4 < path.size() && HexDigit(path[at + 3]) >= 0 &&
      HexDigit(path[at + 4]) >= 0)
    return TargetFault::kDoubleEscape;
  return TargetFault::kNone;
}

bool IsDotSegment(std::string_view segment) {
  // "." and ".." with each dot written as "." or "%2e".
  int dots = 0;
  while (!segment.empty()) {
    if (segment.front() == '.')
      segment.remove_prefix(1);
    else if (EscapeAt(segment, 0) == '.' && segment.front() == '%')
      segment.remove_prefix(3);
    else
      return false;
    ++dots;
  }
  return dots == 1 || dots == 2;
}

// How many bytes follow a UTF-8 lead byte; -1: it leads nothing.
int Continuations(unsigned lead) {
  if (lead >= 0xc2 && lead <= 0xdf) return 1;
  if (lead >= 0xe0 && lead <= 0xef) return 2;
  if (lead >= 0xf0 && lead <= 0xf4) return 3;
  return -1;
}

// Overlong forms, surrogates and what is above U+10FFFF show in the second byte (RFC 3629, 4).
bool IsSecondByte(unsigned lead, unsigned second) {
  if (second < 0x80 || second > 0xbf) return false;
  if (lead == 0xe0) return second >= 0xa0;
  if (lead == 0xed) return second <= 0x9f;
  if (lead == 0xf0) return second >= 0x90;
  if (lead == 0xf4) return second <= 0x8f;
  return true;
}

// The length of the encoded character at `at`, whose first byte is above 0x7f: a run of escapes. 0
// when it is not UTF-8.
std::size_t EncodedCharacter(std::string_view path, std::size_t at, int lead) {
  const int more = Continuations(static_cast<unsigned>(lead));
  if (more < 0) return 0;
  std::size_t next = at + 3;
  for (int i = 0; i < more; ++i, next += 3) {
    if (next >= path.size() || path[next] != '%') return 0;
    const int byte = EscapeAt(path, next);
    const bool fits = i == 0
                          ? IsSecondByte(static_cast<unsigned>(lead), static_cast<unsigned>(byte))
                          : byte >= 0x80 && byte <= 0xbf;
    if (byte < 0 || !fits) return 0;
  }
  return next - at;
}

TargetFault CheckBytes(std::string_view path) {
  for (std::size_t i = 0; i < path.size();) {
    if (path[i] != '%') {
      const TargetFault fault = FaultOfRaw(static_cast<unsigned char>(path[i]));
      if (fault != TargetFault::kNone) return fault;
      ++i;
      continue;
    }
    const int byte = EscapeAt(path, i);
    const TargetFault fault = FaultOfEscape(path, i, byte);
    if (fault != TargetFault::kNone) return fault;
    const std::size_t length = byte > 0x7f ? EncodedCharacter(path, i, byte) : 3;
    if (length == 0) return TargetFault::kBadUtf8;
    i += length;
  }
  return TargetFault::kNone;
}

TargetFault CheckSegments(std::string_view path) {
  std::size_t start = 1;  // after the slash
  while (true) {
    const std::size_t slash = path.find('/', start);
    const std::string_view segment = path.substr(start, slash - start);
    const bool last = slash == std::string_view::npos;
    if (segment.empty() && !last) return TargetFault::kEmptySegment;
    if (IsDotSegment(segment)) return TargetFault::kDotSegment;
    if (last) return TargetFault::kNone;
    start = slash + 1;
  }
}

tl::unexpected<Error> BadPath(std::string_view text, std::string_view rule) {
  return Fail(Code::kInvalidArgument, kPathPatternMalformed,
              fmt::format("\"{}\": {}", EscapeForLog(text, 128), rule));
}

tl::unexpected<Error> BadHost(std::string_view text, std::string_view rule) {
  return Fail(Code::kInvalidArgument, kHostPatternMalformed,
              fmt::format("\"{}\": {}", EscapeForLog(text, 128), rule));
}

bool IsPlaceholderName(std::string_view name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](char c) { return IsLetter(c) || IsDigit(c) || c == '_'; });
}

// "{id}" or literal text. Fails with kPathPatternMalformed.
Result<PathPattern::Segment> ParseSegment(std::string_view pattern, std::string_view segment) {
  PathPattern::Segment parsed;
  if (segment.starts_with('{') && segment.ends_with('}')) {
    parsed.any = true;
    parsed.text = segment.substr(1, segment.size() - 2);
    if (IsPlaceholderName(parsed.text)) return parsed;
    return BadPath(pattern, "a placeholder is a name in braces, such as {id}");
  }
  if (segment.find_first_of("{}") != std::string_view::npos)
    return BadPath(pattern, "a placeholder stands for a whole segment, such as /users/{id}");
  if (segment.find('*') != std::string_view::npos)
    return BadPath(pattern, "\"*\" stands at the end only, as /*; write %2A for the letter itself");
  if (segment.find('?') != std::string_view::npos)
    return BadPath(pattern, "a pattern has no query: the query takes no part in the decision");
  DecodePath(segment, &parsed.text);
  return parsed;
}

bool IsHostByte(char c) { return IsLetter(c) || IsDigit(c) || c == '-' || c == '.' || c == '_'; }

bool IsPort(std::string_view port) {
  return !port.empty() && port.size() <= 5 && std::ranges::all_of(port, IsDigit);
}

bool IsHostName(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, IsHostByte) && name.front() != '.' &&
         name.back() != '.' && name.find("..") == std::string_view::npos;
}

// "[2001:db8::1]": hexadecimal digits, colons and dots inside.
bool IsBracketed(std::string_view name) {
  return name.size() > 2 && name.front() == '[' && name.back() == ']' &&
         std::ranges::all_of(name.substr(1, name.size() - 2),
                             [](char c) { return HexDigit(c) >= 0 || c == ':' || c == '.'; });
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, Lower, Lower);
}

}  // namespace

std::string_view Describe(TargetFault fault) {
  switch (fault) {
    case TargetFault::kNone:
      return "nothing is wrong with it";
    case TargetFault::kNotAbsolute:
      return "the path does not start with a slash";
    case TargetFault::kTooLong:
      return "the path is longer than 32 KiB";
    case TargetFault::kEmptySegment:
      return "the path has an empty segment (\"//\")";
    case TargetFault::kDotSegment:
      return "the path has a \".\" or \"..\" segment";
    case TargetFault::kSeparator:
      return "the path has a backslash, a semicolon or an encoded separator";
    case TargetFault::kControl:
      return "the path has a space or a control character";
    case TargetFault::kFragment:
      return "the path has a \"#\"";
    case TargetFault::kNotAscii:
      return "the path has a byte that must be encoded";
    case TargetFault::kBadEscape:
      return "the path has a \"%\" without two hexadecimal digits";
    case TargetFault::kDoubleEscape:
      return "the path is encoded twice";
    case TargetFault::kNeedlessEscape:
      return "the path encodes a letter, digit or dot";
    case TargetFault::kBadUtf8:
      return "the path encodes what is not UTF-8";
    case TargetFault::kHostMalformed:
      return "the host is not a plain name or address";
  }
  return "unknown fault";
}

std::string_view PathOf(std::string_view target) { return target.substr(0, target.find('?')); }

TargetFault CheckCanonicalPath(std::string_view path) {
  if (path.size() > kMaxPathBytes) return TargetFault::kTooLong;
  if (path.empty() || path.front() != '/') return TargetFault::kNotAbsolute;
  if (const TargetFault fault = CheckSegments(path); fault != TargetFault::kNone) return fault;
  return CheckBytes(path);
}

void DecodePath(std::string_view path, std::string* out) {
  for (std::size_t i = 0; i < path.size();) {
    const int byte = path[i] == '%' ? EscapeAt(path, i) : -1;
    out->push_back(byte < 0 ? path[i] : static_cast<char>(byte));
    i += byte < 0 ? 1 : 3;
  }
}

Result<PathPattern> PathPattern::Parse(std::string_view text) {
  PathPattern pattern;
  pattern.text_ = std::string(text);
  std::string_view rest = text;
  if (rest.ends_with(kBelow)) {
    pattern.below_ = true;
    rest.remove_suffix(kBelow.size());
    if (rest.empty()) return pattern;  // "/*"
  }
  if (const TargetFault fault = CheckCanonicalPath(rest); fault != TargetFault::kNone)
    return BadPath(text, Describe(fault));
  if (pattern.below_ && rest.back() == '/') return BadPath(text, "an empty segment before \"/*\"");
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view segment = rest.substr(0, rest.find('/'));
    SIGNET_TRY(Segment parsed, ParseSegment(text, segment));
    pattern.segments_.push_back(std::move(parsed));
    rest.remove_prefix(segment.size());
  }
  if (pattern.segments_.size() > kMaxSegments)
    return BadPath(text, fmt::format("more than {} segments", kMaxSegments));
  return pattern;
}

Result<PathPattern> PathPattern::ParseGrpc(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view service = text.substr(0, slash);
  const std::string_view method =
      slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  const auto is_name = [](std::string_view name, bool dots) {
    return !name.empty() && std::ranges::all_of(name, [&](char c) {
      return IsLetter(c) || IsDigit(c) || c == '_' || (dots && c == '.');
    });
  };
  if (!is_name(service, true) || !(method == "*" || is_name(method, false)))
    return BadPath(text, "a gRPC method is package.Service/Method, or package.Service/* for all");
  SIGNET_TRY(PathPattern pattern, Parse(fmt::format("/{}", text)));
  pattern.text_ = std::string(text);
  return pattern;
}

bool PathPattern::Matches(std::string_view decoded) const {
  for (const Segment& segment : segments_) {
    if (decoded.empty()) return false;
    decoded.remove_prefix(1);
    const std::string_view found = decoded.substr(0, decoded.find('/'));
    if (segment.any ? found.empty() : found != segment.text) return false;
    decoded.remove_prefix(found.size());
  }
  return below_ ? !decoded.empty() : decoded.empty();
}

HostParts ParseHost(std::string_view host) {
  HostParts parts;
  if (host.size() > kMaxHostBytes) return parts;
  std::size_t end = host.rfind(':');
  if (host.ends_with(']')) end = std::string_view::npos;  // an address without a port
  parts.name = host.substr(0, end);
  if (end != std::string_view::npos) {
    parts.port = host.substr(end + 1);
    if (!IsPort(parts.port)) return parts;
  }
  if (IsHostName(parts.name) || IsBracketed(parts.name)) parts.fault = TargetFault::kNone;
  return parts;
}

Result<HostPattern> HostPattern::Parse(std::string_view text) {
  HostPattern pattern;
  pattern.text_ = std::string(text);
  pattern.below_ = text.starts_with("*.");
  const HostParts parts = ParseHost(pattern.below_ ? text.substr(2) : text);
  if (parts.fault != TargetFault::kNone)
    return BadHost(text,
                   "a host is a name such as api.example.org, api.example.org:8443 or "
                   "*.example.org, or an address");
  pattern.name_ = std::string(parts.name);
  std::ranges::transform(pattern.name_, pattern.name_.begin(), Lower);
  pattern.port_ = std::string(parts.port);
  return pattern;
}

bool HostPattern::Matches(const HostParts& host) const {
  if (host.fault != TargetFault::kNone) return false;
  if (!port_.empty() && port_ != host.port) return false;
  if (!below_) return EqualIgnoringCase(host.name, name_);
  return host.name.size() > name_.size() + 1 &&
         host.name[host.name.size() - name_.size() - 1] == '.' &&
         EqualIgnoringCase(host.name.substr(host.name.size() - name_.size()), name_);
}

}  // namespace signet::mesh
