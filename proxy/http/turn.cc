#include "proxy/http/turn.h"

#include <utility>

namespace signet::proxy {

void Turns::Wake(Wakeable& who) {
  if (std::exchange(who.queued_, true)) return;
  if (depth_ > 0) {
    queue_.push_back(&who);
    return;
  }
  who.queued_ = false;
  WakeLater(who);
}

void Turns::WakeLater(Wakeable& who) {
  if (std::exchange(who.queued_, true)) return;
  later_queue_.push_back(&who);
  if (later_ == 0) later_ = loop_.RunAfter(Duration(0), [this] { RunLater(); });
}

void Turns::Forget(Wakeable& who) {
  if (!std::exchange(who.queued_, false)) return;
  std::ranges::replace(queue_, &who, static_cast<Wakeable*>(nullptr));
  std::ranges::replace(later_queue_, &who, static_cast<Wakeable*>(nullptr));
}

void Turns::Bury(std::unique_ptr<Mortal> what) {
  dead_.push_back(std::move(what));
  if (depth_ == 0 && later_ == 0) later_ = loop_.RunAfter(Duration(0), [this] { RunLater(); });
}

void Turns::RunLater() {
  later_ = 0;
  const Scope scope(*this);
  for (Wakeable* who : std::exchange(later_queue_, {}))
    if (who != nullptr) queue_.push_back(who);
}

void Turns::Run() {
  for (std::size_t next = 0; next < queue_.size(); ++next) {
    Wakeable* who = std::exchange(queue_[next], nullptr);
    if (who == nullptr) continue;
    who->queued_ = false;
    who->OnWake();
  }
  queue_.clear();
  // What dies may bury more.
  while (!dead_.empty()) std::exchange(dead_, {}).clear();
}

}  // namespace signet::proxy
