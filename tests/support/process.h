// A program as a child process: started with its output in a file, watched through a pidfd, ended
// by its pid. The destructor kills and reaps what is left.
//
// Threads: none.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace signet::test {

// How a process ended: an exit code, or the signal that killed it.
struct ProcessEnd {
  int code = -1;
  int signal = 0;
};

class Process {
 public:
  // `arguments[0]` is the program's path. Both outputs are appended to `output_path`. Throws when
  // it cannot be started.
  Process(const std::vector<std::string>& arguments, std::string output_path);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // Until it has ended; absent when it has not within `timeout`.
  std::optional<ProcessEnd> Wait(std::chrono::milliseconds timeout);
  // SIGKILL, and reaped.
  void Kill();
  bool running() { return !Wait(std::chrono::milliseconds(0)); }
  // What it printed so far, also what earlier processes appended to the same file.
  std::string Output() const;

  // Until somebody accepts on the Unix socket. False when the process has ended or `timeout` has
  // passed.
  bool WaitForSocket(const std::string& path, std::chrono::milliseconds timeout);

 private:
  const std::string output_path_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<ProcessEnd> end_;
};

// The value after `key` in the first line of `output` that holds `mark`; empty when there is none
// yet, or it is not whole.
std::string Logged(const std::string& output, const std::string& mark, const std::string& key);

// Runs to its end (at most a minute) and answers how it ended; its output goes to `output` when
// given.
ProcessEnd RunProcess(const std::vector<std::string>& arguments, const std::string& output_path,
                      std::string* output = nullptr);

}  // namespace signet::test
