// Values that several sections of the agent's configuration have in common.
#pragma once

#include <sys/types.h>

#include "base/account.h"
#include "base/config.h"

namespace signet::agent {

// A name, or a number, of a user or group of this system; -1 when absent, or reported.
int ReadAccount(ConfigMap* map, const char* key, AccountKind kind);
// Octal digits, such as "0640"; `fallback` when absent, or reported.
mode_t ReadMode(ConfigMap* map, const char* key, mode_t fallback);

}  // namespace signet::agent
