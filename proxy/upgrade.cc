#include "proxy/upgrade.h"

#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "base/child_process.h"
#include "net/passed_sockets.h"

namespace signet::proxy {

Result<std::unique_ptr<Upgrade>> Upgrade::Start(net::EventLoop& loop, const ProgramImage& image,
                                                std::vector<std::string> environment,
                                                Duration patience, Done done) {
  SIGNET_TRY(net::ListenerGift gift, net::GiveListeners());
  ChildOptions child;
  child.arguments = image.arguments;
  child.arguments.front() = image.path;
  child.environment = std::move(environment);
  child.environment.push_back(gift.variable);
  child.descriptors = std::move(gift.descriptors);
  std::unique_ptr<Upgrade> upgrade(new Upgrade(loop, std::move(done)));
  SIGNET_TRY(upgrade->successor_, StartChild(std::move(child)));
  upgrade->ready_ = std::move(gift.ready);
  SIGNET_RETURN_IF_ERROR(loop.Add(upgrade->ready_.get(), EPOLLIN, upgrade.get()));
  upgrade->timer_ = loop.RunAfter(patience, [raw = upgrade.get(), patience] {
    raw->timer_ = 0;
    raw->EndSuccessor();
    raw->done_(Fail(Code::kDeadlineExceeded, kUpgradeFailed,
                    "it was not ready within " + FormatDuration(patience)));
  });
  return upgrade;
}

Upgrade::~Upgrade() {
  loop_.Cancel(timer_);
  if (ready_.valid()) loop_.Remove(ready_.get(), this);
  EndSuccessor();
}

void Upgrade::EndSuccessor() {
  if (successor_ < 0) return;
  ::kill(successor_, SIGKILL);
  ::waitpid(std::exchange(successor_, -1), nullptr, 0);
}

void Upgrade::OnEvents(std::uint32_t) {
  char byte = 0;
  const bool serves = ::read(ready_.get(), &byte, 1) == 1;
  loop_.Remove(ready_.get(), this);
  ready_.Reset();
  const Done done = std::move(done_);
  if (serves) return done(std::exchange(successor_, -1));
  int status = 0;
  ::waitpid(std::exchange(successor_, -1), &status, 0);
  done(Fail(Code::kUnavailable, kUpgradeFailed,
            "it ended with " + std::to_string(ExitCodeOf(status)) +
                "; its own lines in the log say why"));
}

}  // namespace signet::proxy
