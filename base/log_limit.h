// A bound on lines that others can cause: so many a second, and what is left out is counted. For
// logs of refusals, whose number whoever can connect decides.
//
// Threads: safe from any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "base/clock.h"

namespace signet {

class LogLimiter {
 public:
  // `clock` outlives this.
  LogLimiter(const Clock& clock, std::uint32_t lines_per_second)
      : clock_(clock), limit_(lines_per_second), second_(clock.SteadyNow()) {}

  // Absent: do not write this line. Else how many were left out since the last one that was
  // written.
  std::optional<std::uint64_t> Admit();

 private:
  const Clock& clock_;
  const std::uint32_t limit_;
  std::mutex mutex_;
  SteadyTime second_;  // the begin of the one that is counted; guarded by mutex_
  std::uint32_t written_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace signet
