// The application that `signet-proxy exec` stands beside: started once the proxy serves, told every
// signal, waited for, and reaped with whatever it left behind. It does not outlive this process,
// and this process does not outlive it for longer than a drain.
//
// Threads: one, the main one (the kernel tells the application of the end of the thread that
// started it).
#pragma once

#include <sys/signalfd.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace signet::proxy {

class Companion {
 public:
  explicit Companion(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {}

  // Fails with kCannotStartChild.
  Status Start();
  // Passes a signal on to the application while it runs, unless the terminal sent it to the whole
  // group itself.
  void Forward(const signalfd_siginfo& signal) const;
  // Takes in every process that has ended, for SIGCHLD; the application's exit code, once it has.
  std::optional<int> Reap();

  bool started() const { return pid_ > 0; }
  bool runs() const { return pid_ > 0 && !exit_code_; }
  pid_t pid() const { return pid_; }

 private:
  const std::vector<std::string> arguments_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

}  // namespace signet::proxy
