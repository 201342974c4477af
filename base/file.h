// Files and descriptors: bounded reads, atomic durable writes, owned descriptors.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace signet {

inline constexpr Reason kFileMissing{"file missing"};
inline constexpr Reason kFileUnreadable{"file unreadable"};
inline constexpr Reason kFileTooLarge{"file too large"};
inline constexpr Reason kFileWriteFailed{"file write failed"};
inline constexpr Reason kFilePermissionsLax{"file permissions too open"};
inline constexpr Reason kAlreadyRunning{"already in use by another process"};

// Owns a file descriptor. Move only.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

// "No such file or directory (2)".
std::string ErrnoText(int error);

// Reads a whole regular file. Fails with kFileMissing (NOT_FOUND), kFileUnreadable, kFileTooLarge.
Result<Bytes> ReadFile(const std::string& path, std::size_t limit);

// The same for a secret; the file must be a regular one of this user (or root) with no permission
// for group or others. Fails also with kFilePermissionsLax, and says the chmod.
Result<SecretBytes> ReadSecretFile(const std::string& path, std::size_t limit);

// A file that is written in parts and then put in place of `path` whole: a temporary file beside
// it, fsynced, renamed, and the folder fsynced. After Commit() the new content survives a power
// cut; without it, or when it fails, the old one is untouched and the temporary file is gone.
class AtomicFile {
 public:
  // Fails with kFileWriteFailed, as do the others.
  static Result<AtomicFile> Create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status Append(ByteView part);
  // Once, at the end.
  Status Commit(mode_t mode);

 private:
  AtomicFile(std::string path, std::string temporary, UniqueFd fd);
  const std::string path_;
  std::string temporary_;  // empty: there is none any more
  UniqueFd fd_;
};

// All of that at once. Of several writers of one path, in threads or processes, the last one's
// content stays, whole.
Status WriteFileAtomically(const std::string& path, ByteView content, mode_t mode);

// Removes temporary files that writers of `path` left behind as they were killed. Only while nobody
// writes it.
void RemoveLeftovers(const std::string& path);

// Creates the folder (and parents) with `mode` when missing.
Status EnsureDirectory(const std::string& path, mode_t mode);

// An exclusive advisory lock on a file, held until destroyed; how two processes are kept off one
// data directory. Fails with kAlreadyRunning.
class FileLock {
 public:
  static Result<FileLock> Acquire(const std::string& path);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace signet
