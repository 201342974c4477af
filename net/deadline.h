// A deadline for blocking socket calls, kept by the kernel (a timerfd), so that nothing here reads
// a clock. Internal to net/.
#pragma once

#include <chrono>

#include "base/file.h"

namespace signet::net {

enum class WaitStatus { kReady, kTimedOut, kError };

class Deadline {
 public:
  // From now on. A timeout of zero or less has passed already.
  static Result<Deadline> After(std::chrono::milliseconds timeout);
  // Until `fd` has one of `events` (poll's bits; errors and hang-ups count as ready).
  WaitStatus WaitFor(int fd, short events) const;

 private:
  explicit Deadline(UniqueFd timer) : timer_(std::move(timer)) {}
  UniqueFd timer_;
};

}  // namespace signet::net
