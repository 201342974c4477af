#include "net/deadline.h"

#include <poll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>

namespace signet::net {

inline constexpr Reason kTimerFailed{"cannot make a timer"};

Result<Deadline> Deadline::After(std::chrono::milliseconds timeout) {
  UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return Fail(Code::kResourceExhausted, kTimerFailed, ErrnoText(errno));
  const std::int64_t ns =
      std::max<std::int64_t>(1, std::chrono::nanoseconds(timeout).count());  // 0 would disarm
  itimerspec when{};
  when.it_value.tv_sec = ns / 1'000'000'000;
  when.it_value.tv_nsec = ns % 1'000'000'000;
  if (timerfd_settime(timer.get(), 0, &when, nullptr) != 0)
    return Fail(Code::kInvalidArgument, kTimerFailed, ErrnoText(errno));
  return Deadline(std::move(timer));
}

WaitStatus Deadline::WaitFor(int fd, short events) const {
  pollfd polled[2] = {{fd, events, 0}, {timer_.get(), POLLIN, 0}};
  while (poll(polled, 2, -1) < 0) {
    if (errno != EINTR) return WaitStatus::kError;
  }
  if (polled[1].revents != 0) return WaitStatus::kTimedOut;
  return WaitStatus::kReady;
}

}  // namespace signet::net
