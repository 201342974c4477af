#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace signet::test {
namespace {

constexpr int kConnectIntervalMs = 5;

bool Answers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, std::string output_path)
    : output_path_(std::move(output_path)) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output_path_.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error(arguments[0] + ": " + ErrnoText(error));
  pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
}

Process::~Process() { Kill(); }

void Process::Signal(int signal) const {
  if (!end_) kill(pid_, signal);
}

std::optional<ProcessEnd> Process::Wait(std::chrono::milliseconds timeout) {
  if (end_) return end_;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  if (poll(&ended, 1, static_cast<int>(timeout.count())) <= 0) return std::nullopt;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  end_ = ProcessEnd{WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                    WIFSIGNALED(status) ? WTERMSIG(status) : 0};
  return end_;
}

void Process::Kill() {
  Signal(SIGKILL);
  Wait(std::chrono::minutes(1));
}

std::string Process::Output() const {
  std::ifstream file(output_path_);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool Process::WaitForSocket(const std::string& path, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!Answers(path)) {
    // Waits for the process's end, which ends the waiting too.
    if (Wait(std::chrono::milliseconds(kConnectIntervalMs))) return false;
    if (std::chrono::steady_clock::now() >= deadline) return false;
  }
  return true;
}

std::string Logged(const std::string& output, const std::string& mark, const std::string& key) {
  const auto line = output.find(mark);
  if (line == std::string::npos) return {};
  const auto value = output.find(key, line);
  if (value == std::string::npos) return {};
  const auto end = output.find_first_of(" \n", value + key.size());
  if (end == std::string::npos) return {};
  return output.substr(value + key.size(), end - value - key.size());
}

ProcessEnd RunProcess(const std::vector<std::string>& arguments, const std::string& output_path,
                      std::string* output) {
  Process process(arguments, output_path);
  const auto end = process.Wait(std::chrono::minutes(1));
  if (output != nullptr) *output = process.Output();
  if (!end) throw std::runtime_error(arguments[0] + " did not end within a minute");
  return *end;
}

}  // namespace signet::test
