// What the HTTP connections of one worker share while events are handled: whom to call again before
// the turn ends, what to destroy after it, and the buffer that input is read into.
//
// A byte that arrives on one connection wakes others. They are not called in the middle of its
// handling but queued, and run when the event that woke them has been handled; what ended is
// destroyed after that. So no codec is entered twice, and nothing dies under its caller.
//
// Threads: one worker's.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "net/event_loop.h"
#include "proxy/forward/buffer_pool.h"

namespace signet::proxy {

// Called once after it was woken.
class Wakeable {
 public:
  virtual ~Wakeable() = default;
  virtual void OnWake() = 0;

 private:
  friend class Turns;
  bool queued_ = false;
};

class Mortal {
 public:
  virtual ~Mortal() = default;
};

class Turns {
 public:
  explicit Turns(net::EventLoop& loop) : loop_(loop) {}
  ~Turns() { loop_.Cancel(later_); }

  // Holds a turn open while an event is handled.
  class Scope {
   public:
    explicit Scope(Turns& turns) : turns_(turns) { ++turns_.depth_; }
    ~Scope() {
      if (turns_.depth_ == 1) turns_.Run();
      --turns_.depth_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Turns& turns_;
  };

  // Runs before this turn ends; outside of one, in the loop's next.
  void Wake(Wakeable& who);
  // In the loop's next turn, after others had theirs.
  void WakeLater(Wakeable& who);
  void Forget(Wakeable& who);
  // Destroyed when the turn ends.
  void Bury(std::unique_ptr<Mortal> what);
  // Input is read into it and offered at once: nobody keeps it.
  Buffer& scratch() { return scratch_; }

 private:
  void Run();
  void RunLater();

  net::EventLoop& loop_;
  int depth_ = 0;
  std::vector<Wakeable*> queue_, later_queue_;
  std::vector<std::unique_ptr<Mortal>> dead_;
  net::EventLoop::TimerId later_ = 0;
  Buffer scratch_;
};

}  // namespace signet::proxy
