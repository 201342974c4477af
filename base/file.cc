#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace signet {
namespace {

Result<UniqueFd> OpenForReading(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.valid()) return fd;
  if (errno == ENOENT) return Fail(Code::kNotFound, kFileMissing, path);
  return Fail(Code::kPermissionDenied, kFileUnreadable,
              fmt::format("{}: {}", path, ErrnoText(errno)));
}

// Reads to the end into `out` (resized by the caller through `grow`).
template <class Buffer>
Result<std::size_t> ReadAll(int fd, const std::string& path, std::size_t limit, Buffer&& at) {
  std::size_t done = 0;
  while (true) {
    if (done > limit)
      return Fail(Code::kOutOfRange, kFileTooLarge,
                  fmt::format("{}: more than {} bytes", path, limit));
    std::span<std::uint8_t> room = at(done);
    const ssize_t got = read(fd, room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return Fail(Code::kInternal, kFileUnreadable, fmt::format("{}: {}", path, ErrnoText(errno)));
    if (got == 0) return done;
    done += static_cast<std::size_t>(got);
  }
}

constexpr std::string_view kTemporarySuffix = ".tmp";

std::string FolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

tl::unexpected<Error> WriteFailed(const std::string& path) {
  return Fail(Code::kInternal, kFileWriteFailed, fmt::format("{}: {}", path, ErrnoText(errno)));
}

Status WriteAll(int fd, ByteView content, const std::string& path) {
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t put = write(fd, content.data() + done, content.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0)
      return Fail(Code::kInternal, kFileWriteFailed, fmt::format("{}: {}", path, ErrnoText(errno)));
    done += static_cast<std::size_t>(put);
  }
  return {};
}

}  // namespace

void UniqueFd::Reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

std::string ErrnoText(int error) {
  char buffer[128];
  return fmt::format("{} ({})", strerror_r(error, buffer, sizeof buffer), error);
}

Result<Bytes> ReadFile(const std::string& path, std::size_t limit) {
  SIGNET_TRY(UniqueFd fd, OpenForReading(path));
  struct stat st{};
  if (fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode))
    return Fail(Code::kInvalidArgument, kFileUnreadable, path + ": not a regular file");
  Bytes content;
  SIGNET_TRY(const std::size_t size, ReadAll(fd.get(), path, limit, [&](std::size_t done) {
               content.resize(done + 65536);
               return std::span(content).subspan(done);
             }));
  content.resize(size);
  return content;
}

Result<SecretBytes> ReadSecretFile(const std::string& path, std::size_t limit) {
  SIGNET_TRY(UniqueFd fd, OpenForReading(path));
  struct stat st{};
  if (fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode))
    return Fail(Code::kInvalidArgument, kFileUnreadable, path + ": not a regular file");
  if ((st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0))
    return Fail(
        Code::kPermissionDenied, kFilePermissionsLax,
        fmt::format(
            "{} has mode {:04o} and owner {}; run: chmod 0600 {} (and chown it to the user of "
            "this program)",
            path, st.st_mode & 07777, st.st_uid, path));
  // A fixed buffer: growing would leave copies of the secret behind.
  SecretBytes room(limit + 1);
  SIGNET_TRY(const std::size_t size, ReadAll(fd.get(), path, limit, [&](std::size_t done) {
               return room.mutable_view().subspan(done);
             }));
  return SecretBytes(room.view().first(size));
}

Result<AtomicFile> AtomicFile::Create(const std::string& path) {
  // A name of its own for each write, so that two at once do not write into one file.
  std::string temporary = path + ".XXXXXX" + std::string(kTemporarySuffix);
  UniqueFd fd(mkostemps(temporary.data(), static_cast<int>(kTemporarySuffix.size()), O_CLOEXEC));
  if (!fd.valid()) return WriteFailed(temporary);
  return AtomicFile(path, std::move(temporary), std::move(fd));
}

AtomicFile::AtomicFile(std::string path, std::string temporary, UniqueFd fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(other.path_),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status AtomicFile::Append(ByteView part) { return WriteAll(fd_.get(), part, temporary_); }

Status AtomicFile::Commit(mode_t mode) {
  if (fchmod(fd_.get(), mode) != 0 || fsync(fd_.get()) != 0) return WriteFailed(temporary_);
  fd_.Reset();
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return WriteFailed(path_);
  temporary_.clear();
  const std::string folder = FolderOf(path_);
  UniqueFd directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || fsync(directory.get()) != 0) return WriteFailed(folder);
  return {};
}

Status WriteFileAtomically(const std::string& path, ByteView content, mode_t mode) {
  SIGNET_TRY(AtomicFile file, AtomicFile::Create(path));
  SIGNET_RETURN_IF_ERROR(file.Append(content));
  return file.Commit(mode);
}

void RemoveLeftovers(const std::string& path) {
  const std::string prefix = std::filesystem::path(path).filename().string() + ".";
  const std::size_t length = prefix.size() + 6 + kTemporarySuffix.size();
  std::error_code error;
  std::filesystem::directory_iterator item(FolderOf(path), error);
  for (; !error && item != std::filesystem::directory_iterator(); item.increment(error)) {
    const std::string name = item->path().filename().string();
    if (name.size() == length && name.starts_with(prefix) && name.ends_with(kTemporarySuffix))
      unlink(item->path().c_str());
  }
}

Status EnsureDirectory(const std::string& path, mode_t mode) {
  std::error_code error;
  const std::filesystem::path folder(path);
  if (std::filesystem::is_directory(folder, error)) return {};
  if (folder.has_parent_path() && folder.parent_path() != folder)
    SIGNET_RETURN_IF_ERROR(EnsureDirectory(folder.parent_path().string(), 0755));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return Fail(Code::kInternal, kFileWriteFailed,
                fmt::format("cannot create folder {}: {}", path, ErrnoText(errno)));
  return {};
}

Result<FileLock> FileLock::Acquire(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid())
    return Fail(Code::kInternal, kFileWriteFailed, fmt::format("{}: {}", path, ErrnoText(errno)));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    return Fail(
        Code::kFailedPrecondition, kAlreadyRunning,
        fmt::format(
            "{} is locked; another process uses this folder. Stop it, or give this one a data "
            "directory of its own",
            path));
  return FileLock(std::move(fd));
}

}  // namespace signet
