// What a process has used: CPU time to the nanosecond, and memory.
//
// Threads: safe from any thread.
#pragma once

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <fstream>

namespace signet::bench {

// User and system time of all its threads, ended ones included; 0: there is no such process.
inline double ProcessCpuSeconds(int pid) {
  clockid_t clock = 0;
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

inline double ProcessResidentBytes(int pid) {
  std::ifstream statm(fmt::format("/proc/{}/statm", pid));
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace signet::bench
