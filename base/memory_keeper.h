// Gives memory back to the system that was needed for a while only: what the allocator keeps after
// a burst of work, and pages of program text that nobody has used since.
//
// Threads: a keeper has one of its own from construction to destruction.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"

namespace signet {

// When it is worth it: once the process is quiet after work. Pure.
class TrimRule {
 public:
  // `cpu`: what the process has used in all. Called about once a second.
  bool IsDue(Duration cpu);

 private:
  Duration last_{};                  // at the last call
  std::optional<Duration> trimmed_;  // at the last time it was due; absent: the start is not over
};

// Free memory of every arena, and mapped pages of program text and constants, here and in shared
// libraries: these come back from the page cache as they are used. Data that was relocated or
// written stays.
void GiveBackMemory();

class MemoryKeeper {
 public:
  MemoryKeeper();
  ~MemoryKeeper();
  MemoryKeeper(const MemoryKeeper&) = delete;
  MemoryKeeper& operator=(const MemoryKeeper&) = delete;

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  TrimRule rule_;
  std::thread thread_;
};

}  // namespace signet
