// Telling a program that its files are new: by a command, or by a signal.
//
// Threads: blocks the calling thread, at most the action's timeout.
#pragma once

#include "agent/files/file_options.h"
#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kActionFailed{"the program was not told of its new files"};

// The command runs as this process's user, with standard input and output closed off and a plain
// environment; what is not done in time is killed. The signal goes to the process whose number is
// in the file, held by a pidfd so that it is that one. Fails with kActionFailed.
Status RunAction(const RenewalAction& action);

}  // namespace signet::agent
