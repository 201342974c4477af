// Starting another program from one that has threads: between fork and exec nothing runs but what
// signal-safety(7) allows.
//
// Threads: any, but `dies_with_us` counts the thread that starts it as us: let it be the main one.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace signet {

inline constexpr Reason kCannotStartChild{"cannot start a program"};

struct ChildOptions {
  std::vector<std::string> arguments;    // [0] is looked for in PATH unless it has a slash
  std::vector<std::string> environment;  // "NAME=value", besides our own
  std::vector<UniqueFd> descriptors;     // become 3, 4, … of the child
  bool dies_with_us = false;             // SIGTERM when the starting thread ends, however it ends
};

// The child begins with no signal blocked and all at their defaults. Fails with kCannotStartChild
// (NOT_FOUND where there is no such program); then there is no child.
Result<pid_t> StartChild(ChildOptions options);

// What a shell would say of a wait status: the exit code, or 128 and the signal.
int ExitCodeOf(int wait_status);

}  // namespace signet
