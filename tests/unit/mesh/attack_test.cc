// Targets that are made to be read in two ways, before the readers themselves.

#include <catch2/catch.hpp>

#include "mesh/request_target.h"

namespace signet::mesh {
namespace {

TEST_CASE("attack 19: a target that begins with two slashes is no authority and no path") {
  for (const char* target :
       {"//host/path", "//admin@host/path", "//", "///", "//host", "//[::1]/x"})
    CHECK(CheckCanonicalPath(PathOf(target)) == TargetFault::kEmptySegment);
  for (const char* target : {"/\\host/path", "/%2fhost/path", "/%5Chost", "/;/host"})
    CHECK(CheckCanonicalPath(PathOf(target)) == TargetFault::kSeparator);
  CHECK(CheckCanonicalPath(PathOf("http://host/path")) == TargetFault::kNotAbsolute);
  // In the query two slashes are text.
  CHECK(CheckCanonicalPath(PathOf("/path?next=//host/path")) == TargetFault::kNone);
  // No pattern can be written that such a path would match.
  for (const char* pattern : {"//host/path", "//*", "/a//b"})
    CHECK_FALSE(PathPattern::Parse(pattern));
}

}  // namespace
}  // namespace signet::mesh
