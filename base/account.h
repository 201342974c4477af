// Users, groups and file modes as people write them.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace signet {

inline constexpr Reason kNoSuchAccount{"no such user or group"};
inline constexpr Reason kNoFileMode{"not a file mode"};

enum class AccountKind { kUser, kGroup };

// The number of a user or group of this system, by its name or that number. Fails with
// kNoSuchAccount.
Result<int> FindAccount(const std::string& name, AccountKind kind);

// Octal digits, such as "0640". Fails with kNoFileMode.
Result<mode_t> ParseFileMode(const std::string& text);

}  // namespace signet
