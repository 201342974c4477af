#include "agent/workload/binary_digests.h"

#include <sys/stat.h>
#include <unistd.h>

#include <vector>

namespace signet::agent {

std::optional<BinaryDigests::Key> BinaryDigests::KeyOf(int fd) {
  struct stat status{};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return Key{
      status.st_dev,         status.st_ino,          static_cast<std::uint64_t>(status.st_size),
      status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
      status.st_ctim.tv_nsec};
}

std::optional<ca::Sha256Digest> BinaryDigests::Find(const Key& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  ++hits_;
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return found->second->second;
}

void BinaryDigests::Keep(const Key& key, const ca::Sha256Digest& digest) {
  const std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;
  by_use_.emplace_front(key, digest);
  by_key_[key] = by_use_.begin();
  if (by_use_.size() <= kMostKept) return;
  by_key_.erase(by_use_.back().first);
  by_use_.pop_back();
}

std::size_t BinaryDigests::hits() const {
  const std::lock_guard lock(mutex_);
  return hits_;
}

std::optional<ca::Sha256Digest> BinaryDigests::DigestOf(int fd, std::uint64_t limit) {
  const auto key = KeyOf(fd);
  if (!key || key->size > limit) return std::nullopt;
  if (auto known = Find(*key)) return known;
  ca::Sha256Hasher hasher;
  std::vector<std::uint8_t> buffer(256 * 1024);
  off_t offset = 0;
  while (true) {
    const ssize_t got = pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    offset += got;
    if (static_cast<std::uint64_t>(offset) > key->size) return std::nullopt;
    hasher.Update(ByteView(buffer.data(), static_cast<std::size_t>(got)));
  }
  if (KeyOf(fd) != key || static_cast<std::uint64_t>(offset) != key->size) return std::nullopt;
  const ca::Sha256Digest digest = hasher.Finish();
  Keep(*key, digest);
  return digest;
}

}  // namespace signet::agent
