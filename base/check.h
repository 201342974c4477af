// CHECK_TRUE(condition): a bug, not bad input. On in every build; prints where and aborts.
#pragma once

namespace signet {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}

#define CHECK_TRUE(condition) \
  ((condition) ? static_cast<void>(0) : ::signet::CheckFailed(#condition, __FILE__, __LINE__))
