// Telling a program that its files are new: by a command, or by a signal.
//
// Threads: blocks the calling thread, at most the action's timeout.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace signet::files {

inline constexpr Reason kActionFailed{"the program was not told of its new files"};
inline constexpr Reason kActionUnusable{"no way to tell a program"};

// What is done after files changed. Nothing when there is neither command nor signal.
struct RenewalAction {
  std::vector<std::string> command;  // program (an absolute path) and arguments; no shell
  Duration timeout = std::chrono::seconds(30);
  std::string pid_file;  // whose process gets the signal
  int signal = 0;
};

// "HUP" or "SIGHUP", USR1, USR2, WINCH: what programs take for "read your files again". Fails with
// kActionUnusable.
Result<int> ParseSignal(std::string_view name);

// Fails with kActionUnusable when the command is no absolute path or has too many words, or there
// is a command and a signal.
Status CheckAction(const RenewalAction& action);

// The command runs as this process's user, with standard input and output closed off and a plain
// environment; what is not done in time is killed. The signal goes to the process whose number is
// in the file, held by a pidfd so that it is that one. Fails with kActionFailed.
Status RunAction(const RenewalAction& action);

}  // namespace signet::files
