// One epoll loop: descriptors, timers and posted work on one thread.
//
// Threads: Run() owns the thread it is called on. Post() and Stop() are safe from any thread; all
// else only from the loop's thread (or before Run()).
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/file.h"

namespace signet::net {

// Told about readiness. `events` are epoll's bits.
class EventHandler {
 public:
  virtual ~EventHandler() = default;
  virtual void OnEvents(std::uint32_t events) = 0;
};

class EventLoop {
 public:
  using Task = std::function<void()>;
  using TimerId = std::uint64_t;  // 0 is never one

  static Result<std::unique_ptr<EventLoop>> Create(const Clock& clock);
  ~EventLoop();

  void Run();   // until Stop()
  void Stop();  // what was posted before is run
  void Post(Task task);
  bool InLoopThread() const;

  // The descriptor stays the caller's; the handler must live until Remove(). After Remove() the
  // handler is not called again, also when events for it were already fetched.
  Status Add(int fd, std::uint32_t events, EventHandler* handler);
  Status Modify(int fd, std::uint32_t events, EventHandler* handler);
  void Remove(int fd, EventHandler* handler);

  // Timers have a resolution of a millisecond. Cancelling an unknown id does nothing.
  TimerId RunAfter(Duration delay, Task task);
  void Cancel(TimerId id);
  // The steady time of this turn of the loop, read once per turn.
  SteadyTime now() const;
  const Clock& clock() const;

 private:
  struct State;
  explicit EventLoop(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::net
