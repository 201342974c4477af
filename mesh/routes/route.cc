#include "mesh/routes/route.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace signet::mesh {

Result<PathMatch> PathMatch::Parse(PathMatchType type, std::string_view value) {
  PathMatch match;
  match.type_ = type;
  if (value.find('?') != std::string_view::npos)
    return Fail(Code::kInvalidArgument, kPathPatternMalformed,
                fmt::format("\"{}\": a query is no part of a path", EscapeForLog(value, 80)));
  if (type == PathMatchType::kTemplate) {
    SIGNET_TRY(match.pattern_, PathPattern::Parse(value));
    for (const PathPattern::Segment& segment : match.pattern_->segments())
      match.weight_ += segment.any ? 1 : segment.text.size() + 1;
    return match;
  }
  if (const TargetFault fault = CheckCanonicalPath(value); fault != TargetFault::kNone)
    return Fail(Code::kInvalidArgument, kPathPatternMalformed,
                fmt::format("\"{}\": {}", EscapeForLog(value, 80), Describe(fault)));
  DecodePath(value, &match.literal_);
  if (type == PathMatchType::kPrefix && match.literal_.ends_with('/')) match.literal_.pop_back();
  match.segments_ = static_cast<std::size_t>(std::ranges::count(match.literal_, '/'));
  match.weight_ = match.literal_.size();
  return match;
}

bool PathMatch::Matches(std::string_view decoded) const {
  switch (type_) {
    case PathMatchType::kExact:
      return decoded == literal_;
    case PathMatchType::kTemplate:
      return pattern_->Matches(decoded);
    case PathMatchType::kPrefix:
      return decoded.starts_with(literal_) &&
             (literal_.empty() || decoded.size() == literal_.size() ||
              decoded[literal_.size()] == '/');
  }
  return false;
}

std::string RouteRule::Place() const { return fmt::format("{}:{}", file, line); }

}  // namespace signet::mesh
