#include "files/renewal_action.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <utility>

#include "base/file.h"

namespace signet::files {
namespace {

constexpr std::size_t kLongestPidFile = 4096;  // PostgreSQL's has more lines
constexpr std::size_t kMostArguments = 64;

constexpr std::array<std::pair<std::string_view, int>, 4> kSignals = {
    {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}}};

tl::unexpected<Error> Failed(std::string detail) {
  return Fail(Code::kUnavailable, kActionFailed, std::move(detail));
}

struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    // This program blocks and ignores signals; what it starts must not inherit that.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
  }
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

Status Judge(const std::string& program, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Failed(WIFEXITED(status) ? fmt::format("{}: exit code {}", program, WEXITSTATUS(status))
                                  : fmt::format("{}: signal {}", program, WTERMSIG(status)));
}

Status RunCommand(const RenewalAction& action) {
  const SpawnSettings settings;
  std::vector<char*> arguments;
  for (const std::string& word : action.command)
    arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {path, nullptr};
  const std::string& program = action.command.front();
  pid_t child = -1;
  const int error = posix_spawn(&child, program.c_str(), &settings.files, &settings.attributes,
                                arguments.data(), environment);
  if (error != 0) return Failed(program + ": " + ErrnoText(error));
  const UniqueFd held(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(action.timeout).count();
  pollfd polled{held.get(), POLLIN, 0};
  const bool ended = held.valid() && poll(&polled, 1, static_cast<int>(left)) == 1;
  if (!ended) kill(-child, SIGKILL);  // with all it started
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!ended) return Failed(program + ": not done within " + FormatDuration(action.timeout));
  return Judge(program, status);
}

Status SendSignal(const RenewalAction& action) {
  const auto text = ReadFile(action.pid_file, kLongestPidFile);
  if (!text) return Failed(text.error().Message());
  const std::string_view digits = AsText(*text).substr(0, AsText(*text).find('\n'));
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (error != std::errc() || pid <= 1 || end != digits.data() + digits.size())
    return Failed(action.pid_file + ": no process number");
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid() ||
      syscall(SYS_pidfd_send_signal, process.get(), action.signal, nullptr, 0) != 0)
    return Failed(fmt::format("process {}: {}", pid, ErrnoText(errno)));
  return {};
}

}  // namespace

Result<int> ParseSignal(std::string_view name) {
  const std::string_view bare = name.substr(name.starts_with("SIG") ? 3 : 0);
  const auto found = std::ranges::find(kSignals, bare, &decltype(kSignals)::value_type::first);
  if (found == kSignals.end())
    return Fail(Code::kInvalidArgument, kActionUnusable,
                fmt::format("no signal for this: {}; HUP, USR1, USR2 or WINCH", name));
  return found->second;
}

Status CheckAction(const RenewalAction& action) {
  const auto unusable = [](std::string why) -> Status {
    return Fail(Code::kInvalidArgument, kActionUnusable, std::move(why));
  };
  if (action.command.empty()) return {};
  if (action.signal != 0) return unusable("command and signal are both set; keep one");
  const std::string& program = action.command.front();
  if (!program.starts_with('/'))
    return unusable("not an absolute path of a program: " + program + "; there is no shell");
  if (action.command.size() > kMostArguments)
    return unusable(fmt::format("more than {} words; put them into a script", kMostArguments));
  return {};
}

Status RunAction(const RenewalAction& action) {
  if (!action.command.empty()) return RunCommand(action);
  return action.signal != 0 ? SendSignal(action) : Status();
}

}  // namespace signet::files
