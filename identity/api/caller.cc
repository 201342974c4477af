#include "identity/api/caller.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace signet::identity {
namespace {

// Absent when the descriptor is closed.
std::optional<std::uint64_t> InodeOf(int fd) {
  struct stat status{};
  if (fstat(fd, &status) != 0) return std::nullopt;
  return status.st_ino;
}

}  // namespace

std::string Caller::Name() const {
  switch (kind) {
    case CallerKind::kCertificate:
      return id.ToString();
    case CallerKind::kLocal:
      return "uid:" + std::to_string(uid);
    case CallerKind::kAnonymous:
      return "anonymous";
    case CallerKind::kUnknown:
      break;
  }
  return "unknown";
}

Caller CallerOfTls(const net::PeerIdentity* peer, std::string remote) {
  Caller caller;
  caller.remote = std::move(remote);
  if (peer == nullptr) {
    caller.kind = CallerKind::kAnonymous;
    return caller;
  }
  auto id = SpiffeId::Parse(peer->name);
  if (!id || peer->chain.empty()) return caller;  // unknown: may do nothing
  caller.kind = CallerKind::kCertificate;
  caller.id = std::move(*id);
  caller.serial = peer->chain.front().SerialDecimal();
  caller.serial_hex = peer->chain.front().SerialHex();
  caller.valid_until = peer->chain.front().not_after();
  return caller;
}

void ConnectionTable::Add(int fd, CallerPtr caller) {
  const auto inode = InodeOf(fd);
  std::lock_guard lock(mutex_);
  rows_[fd] = {inode.value_or(0), std::move(caller)};
}

CallerPtr ConnectionTable::Find(std::string_view peer) const {
  constexpr std::string_view kPrefix = "fd:";
  if (!peer.starts_with(kPrefix)) return nullptr;
  int fd = -1;
  const char* end = peer.data() + peer.size();
  const auto [at, error] = std::from_chars(peer.data() + kPrefix.size(), end, fd);
  if (error != std::errc() || at != end) return nullptr;
  const auto inode = InodeOf(fd);
  if (!inode) return nullptr;
  std::lock_guard lock(mutex_);
  const auto row = rows_.find(fd);
  return row != rows_.end() && row->second.inode == *inode ? row->second.caller : nullptr;
}

void ConnectionTable::Reap() {
  std::lock_guard lock(mutex_);
  std::erase_if(rows_, [](const auto& row) { return InodeOf(row.first) != row.second.inode; });
}

std::size_t ConnectionTable::size() const {
  std::lock_guard lock(mutex_);
  return rows_.size();
}

std::size_t ConnectionTable::local() const {
  std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(
      rows_, [](const auto& row) { return row.second.caller->kind == CallerKind::kLocal; }));
}

}  // namespace signet::identity
