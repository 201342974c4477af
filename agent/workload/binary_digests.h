// SHA-256 digests of binaries, kept by (device, inode, size, mtime, ctime): a binary is read once,
// not once per caller. Bounded; the least recently used go first.
//
// Threads: safe from any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "ca/crypto/digest.h"

namespace signet::agent {

class BinaryDigests {
 public:
  // `fd` is the open binary. Absent when it is no regular file, is larger than `limit` bytes,
  // cannot be read, or changes while it is read.
  std::optional<ca::Sha256Digest> DigestOf(int fd, std::uint64_t limit);
  // How often no file had to be read.
  std::size_t hits() const;

 private:
  struct Key {
    std::uint64_t device, inode, size;
    std::int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
    auto operator<=>(const Key&) const = default;
  };
  static std::optional<Key> KeyOf(int fd);
  std::optional<ca::Sha256Digest> Find(const Key& key);
  void Keep(const Key& key, const ca::Sha256Digest& digest);

  static constexpr std::size_t kMostKept = 1024;
  mutable std::mutex mutex_;
  std::list<std::pair<Key, ca::Sha256Digest>> by_use_;  // most recent first
  std::map<Key, std::list<std::pair<Key, ca::Sha256Digest>>::iterator> by_key_;
  std::size_t hits_ = 0;
};

}  // namespace signet::agent
