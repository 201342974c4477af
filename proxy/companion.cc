#include "proxy/companion.h"

#include <sys/wait.h>

#include <csignal>

#include "base/child_process.h"

namespace signet::proxy {

Status Companion::Start() {
  ChildOptions options;
  options.arguments = arguments_;
  options.dies_with_us = true;
  SIGNET_TRY(pid_, StartChild(std::move(options)));
  return {};
}

void Companion::Forward(const signalfd_siginfo& signal) const {
  if (!runs() || signal.ssi_code == SI_KERNEL) return;
  ::kill(pid_, static_cast<int>(signal.ssi_signo));
}

std::optional<int> Companion::Reap() {
  int status = 0;
  for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;)
    if (ended == pid_) exit_code_ = ExitCodeOf(status);
  return exit_code_;
}

}  // namespace signet::proxy
