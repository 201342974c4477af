// A program under measurement as a child process: started with its output in a file, its CPU time
// read to the nanosecond, ended by its pid.
//
// Threads: none.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tools/bench/process_usage.h"

extern char** environ;

namespace signet::bench {

class Child {
 public:
  // `arguments[0]` is the program's path; both outputs are appended to `output`. Ends this program
  // when it cannot be started.
  Child(std::vector<std::string> arguments, const std::string& output) {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) {
      fmt::print(stderr, "cannot start {}\n", arguments[0]);
      std::exit(1);
    }
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Child() {
    if (pid_ < 0) return;
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Ends it without a word, as a crash does.
  void Kill() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  // User and system time of all its threads, ended ones included, in seconds.
  double CpuSeconds() const { return ProcessCpuSeconds(pid_); }
  double ResidentMegabytes() const { return ProcessResidentBytes(pid_) / 1e6; }

 private:
  pid_t pid_ = -1;
};

// Until the file is there; false after ten seconds.
inline bool AwaitFile(const std::string& path) {
  for (int i = 0; i < 1000; ++i) {
    if (std::filesystem::exists(path)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace signet::bench
