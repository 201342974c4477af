#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace signet {

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: bug: CHECK(%s) failed\n", file, line, condition);
  std::abort();
}

}  // namespace signet
