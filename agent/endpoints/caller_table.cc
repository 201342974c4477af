#include "agent/endpoints/caller_table.h"

#include <fmt/format.h>

#include <tuple>

#include "base/stable_sort.h"

namespace signet::agent {
namespace {

void CountDown(std::map<uid_t, std::size_t>* counts, uid_t uid) {
  const auto found = counts->find(uid);
  if (--found->second == 0) counts->erase(found);
}

}  // namespace

Result<CallerTable::Place> CallerTable::Admit(net::PeerCredentials credentials) {
  const uid_t uid = credentials.uid;
  const std::lock_guard lock(mutex_);
  const auto of_uid = connections_of_.find(uid);
  if (connected_.size() >= limits_.connections ||
      (of_uid != connections_of_.end() && of_uid->second >= limits_.connections_per_uid))
    return Fail(Code::kUnavailable, kTooManyConnections, fmt::format("user {}", uid));
  auto caller = std::make_shared<const Caller>(std::move(credentials));
  connected_.insert(caller.get());
  ++connections_of_[uid];
  return Place(this, std::move(caller));
}

CallerTable::Place::~Place() {
  if (table_ == nullptr) return;
  const std::lock_guard lock(table_->mutex_);
  table_->connected_.erase(caller_.get());
  CountDown(&table_->connections_of_, caller_->credentials.uid);
}

std::size_t CallerTable::connections() const {
  const std::lock_guard lock(mutex_);
  return connected_.size();
}

std::vector<ConnectedCaller> CallerTable::Connected() const {
  std::map<std::tuple<pid_t, uid_t, gid_t>, ConnectedCaller> by_process;
  {
    const std::lock_guard lock(mutex_);
    for (const Caller* one : connected_) {
      const net::PeerCredentials& who = one->credentials;
      ConnectedCaller& caller = by_process[{who.pid, who.uid, who.gid}];
      caller.pid = who.pid;
      caller.uid = who.uid;
      caller.gid = who.gid;
      ++caller.connections;
      caller.streams += one->streams;
    }
  }
  std::vector<ConnectedCaller> connected;
  for (const auto& [key, caller] : by_process) connected.push_back(caller);
  StableSortBy(connected,
               [](const ConnectedCaller& caller) { return ~std::uint64_t{caller.streams}; });
  return connected;
}

std::optional<CallerTable::StreamSlot> CallerTable::TakeStream(CallerPtr caller) {
  const uid_t uid = caller->credentials.uid;
  const std::lock_guard lock(mutex_);
  const auto found = streams_of_.find(uid);
  if (found != streams_of_.end() && found->second >= limits_.streams_per_uid) return std::nullopt;
  ++streams_of_[uid];
  ++caller->streams;
  return StreamSlot(this, std::move(caller));
}

CallerTable::StreamSlot::~StreamSlot() {
  if (table_ == nullptr) return;
  const std::lock_guard lock(table_->mutex_);
  CountDown(&table_->streams_of_, caller_->credentials.uid);
  --caller_->streams;
}

std::size_t CallerTable::streams() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const auto& [uid, count] : streams_of_) sum += count;
  return sum;
}

}  // namespace signet::agent
