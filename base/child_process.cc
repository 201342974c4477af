#include "base/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace signet {
namespace {

constexpr int kFirst = 3;

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Prepared {
  std::vector<char*> arguments;
  std::vector<char*> environment;
  std::vector<int> descriptors;  // all above where they go
  int report = -1;               // takes the errno of what failed; closed by exec
  pid_t parent = 0;
  bool dies_with_us = false;
};

[[noreturn]] void Become(const Prepared& prepared) {
  const auto fail = [&] {
    const int error = errno;
    if (write(prepared.report, &error, sizeof error) < 0) _exit(126);
    _exit(127);
  };
  if (prepared.dies_with_us) {
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) fail();
    if (getppid() != prepared.parent) _exit(127);  // it ended before we asked
  }
  for (std::size_t i = 0; i < prepared.descriptors.size(); ++i)
    if (dup2(prepared.descriptors[i], kFirst + static_cast<int>(i)) < 0) fail();
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvpe(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
  fail();
  _exit(127);
}

tl::unexpected<Error> CannotStart(const std::string& program, int error) {
  return Fail(error == ENOENT ? Code::kNotFound : Code::kUnavailable, kCannotStartChild,
              program + ": " + ErrnoText(error));
}

}  // namespace

Result<pid_t> StartChild(ChildOptions options) {
  const std::string& program = options.arguments.front();
  int ends[2];
  // Above all that the child's own descriptors will be.
  const int above = kFirst + static_cast<int>(options.descriptors.size()) + 1;
  if (pipe2(ends, O_CLOEXEC) != 0) return CannotStart(program, errno);
  const UniqueFd listen(ends[0]);
  UniqueFd low(ends[1]);
  UniqueFd report(fcntl(low.get(), F_DUPFD_CLOEXEC, above));
  low.Reset();
  if (!report.valid()) return CannotStart(program, errno);

  std::vector<UniqueFd> raised;
  Prepared prepared;
  for (const UniqueFd& each : options.descriptors) {
    raised.emplace_back(fcntl(each.get(), F_DUPFD_CLOEXEC, above));
    if (!raised.back().valid()) return CannotStart(program, errno);
    prepared.descriptors.push_back(raised.back().get());
  }
  for (char** variable = environ; *variable != nullptr; ++variable)
    options.environment.emplace_back(*variable);
  prepared.arguments = Pointers(options.arguments);
  prepared.environment = Pointers(options.environment);
  prepared.report = report.get();
  prepared.parent = getpid();
  prepared.dies_with_us = options.dies_with_us;

  const pid_t child = fork();
  if (child < 0) return CannotStart(program, errno);
  if (child == 0) Become(prepared);
  report.Reset();
  int error = 0;
  ssize_t got = 0;
  do got = read(listen.get(), &error, sizeof error);
  while (got < 0 && errno == EINTR);
  if (got == 0) return child;
  waitpid(child, nullptr, 0);
  return CannotStart(program, error);
}

int ExitCodeOf(int wait_status) {
  constexpr int kSignalled = 128;
  if (WIFEXITED(wait_status)) return WEXITSTATUS(wait_status);
  return kSignalled + WTERMSIG(wait_status);
}

}  // namespace signet
