#include "proxy/identity/agent_stream.h"

#include <algorithm>

namespace signet::proxy {

void AgentStream::Start(Session session, Judge judge) {
  session_ = std::move(session);
  judge_ = std::move(judge);
  thread_ = std::thread([this] { Run(); });
}

void AgentStream::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (open_call_ != nullptr) open_call_->TryCancel();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void AgentStream::Run() {
  do {
    const grpc::Status ended = RunOnce();
    if (IsStopping()) return;
    judge_(ended);
  } while (Pause());
}

grpc::Status AgentStream::RunOnce() {
  grpc::ClientContext context;
  context.AddMetadata("workload.spiffe.io", "true");
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return grpc::Status::CANCELLED;
    open_call_ = &context;
  }
  const grpc::Status ended = session_(context);
  const std::lock_guard lock(mutex_);
  open_call_ = nullptr;
  return ended;
}

bool AgentStream::IsStopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool AgentStream::Pause() {
  const auto shift = std::min<std::uint64_t>(failed_tries_++, 16);
  const Duration ceiling =
      std::min<Duration>(retry_.longest, retry_.first * (std::int64_t{1} << shift));
  const auto wait = std::chrono::duration_cast<Duration>(ceiling * random_.Unit());
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, wait, [this] { return stopping_; });
}

}  // namespace signet::proxy
