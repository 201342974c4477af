// One process of the proxy gives way to the next: starts it with everything this one listens on,
// and waits until it serves. Until then, and if it never does, nothing changes here.
//
// Threads: the event loop's.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/event_loop.h"
#include "proxy/program.h"

namespace signet::proxy {

inline constexpr Reason kUpgradeFailed{"the new process does not serve"};

class Upgrade final : private net::EventHandler {
 public:
  // The process id of the one that serves now, or kUpgradeFailed. Called once, from the loop; may
  // destroy this.
  using Done = std::function<void(Result<pid_t>)>;

  // `environment`: besides our own. Fails with kCannotStartChild or net::kListenFailed.
  static Result<std::unique_ptr<Upgrade>> Start(net::EventLoop& loop, const ProgramImage& image,
                                                std::vector<std::string> environment,
                                                Duration patience, Done done);
  // A successor that does not serve yet is ended.
  ~Upgrade() override;

 private:
  Upgrade(net::EventLoop& loop, Done done) : loop_(loop), done_(std::move(done)) {}
  void OnEvents(std::uint32_t events) override;
  // Nothing of it is left.
  void EndSuccessor();

  net::EventLoop& loop_;
  Done done_;
  UniqueFd ready_;
  net::EventLoop::TimerId timer_ = 0;
  pid_t successor_ = -1;  // while it does not serve
};

}  // namespace signet::proxy
