#include "agent/endpoints/caller_table.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <charconv>
#include <tuple>

#include "base/stable_sort.h"

namespace signet::agent {
namespace {

// 0 when the descriptor is closed or no socket.
std::uint64_t SocketInode(int fd) {
  struct stat status{};
  if (fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) return 0;
  return status.st_ino;
}

void CountDown(std::map<uid_t, std::size_t>* counts, uid_t uid) {
  const auto found = counts->find(uid);
  if (--found->second == 0) counts->erase(found);
}

}  // namespace

Status CallerTable::Admit(int fd, net::PeerCredentials credentials) {
  const std::uint64_t inode = SocketInode(fd);
  const uid_t uid = credentials.uid;
  const std::lock_guard lock(mutex_);
  if (const auto stale = rows_.find(fd); stale != rows_.end()) Forget(stale);
  const auto is_full = [&] {
    const auto of_uid = connections_of_.find(uid);
    return rows_.size() >= limits_.connections ||
           (of_uid != connections_of_.end() && of_uid->second >= limits_.connections_per_uid);
  };
  if (is_full()) ReapLocked();
  if (is_full()) return Fail(Code::kUnavailable, kTooManyConnections, fmt::format("user {}", uid));
  rows_[fd] = {inode, std::make_shared<const Caller>(std::move(credentials))};
  ++connections_of_[uid];
  return {};
}

CallerPtr CallerTable::Find(std::string_view peer) const {
  constexpr std::string_view kPrefix = "fd:";
  if (!peer.starts_with(kPrefix)) return nullptr;
  int fd = -1;
  const char* const end = peer.data() + peer.size();
  const auto [next, error] = std::from_chars(peer.data() + kPrefix.size(), end, fd);
  if (error != std::errc() || next != end) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto row = rows_.find(fd);
  if (row == rows_.end() || row->second.inode == 0 || row->second.inode != SocketInode(fd))
    return nullptr;
  return row->second.caller;
}

void CallerTable::Forget(std::map<int, Row>::iterator row) {
  CountDown(&connections_of_, row->second.caller->credentials.uid);
  rows_.erase(row);
}

void CallerTable::ReapLocked() {
  for (auto row = rows_.begin(); row != rows_.end();) {
    const auto next = std::next(row);
    if (SocketInode(row->first) != row->second.inode) Forget(row);
    row = next;
  }
}

void CallerTable::Reap() {
  const std::lock_guard lock(mutex_);
  ReapLocked();
}

void CallerTable::HangUp() {
  const std::lock_guard lock(mutex_);
  ReapLocked();
  for (const auto& [fd, row] : rows_) shutdown(fd, SHUT_RDWR);
}

std::size_t CallerTable::connections() const {
  const std::lock_guard lock(mutex_);
  return rows_.size();
}

std::vector<ConnectedCaller> CallerTable::Connected() const {
  std::map<std::tuple<pid_t, uid_t, gid_t>, ConnectedCaller> by_process;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [fd, row] : rows_) {
      if (SocketInode(fd) != row.inode) continue;
      const net::PeerCredentials& who = row.caller->credentials;
      ConnectedCaller& caller = by_process[{who.pid, who.uid, who.gid}];
      caller.pid = who.pid;
      caller.uid = who.uid;
      caller.gid = who.gid;
      ++caller.connections;
      caller.streams += row.caller->streams;
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
