#include "base/owned_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/file.h"

namespace signet {
namespace {

constexpr std::string_view kTemporarySuffix = ".tmp";

Status Failed(const std::string& path) {
  return Fail(Code::kInternal, kFileWriteFailed, path + ": " + ErrnoText(errno));
}

Status WriteAll(int fd, ByteView bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t put = write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno != EINTR) return Failed(path);
    if (put > 0) bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Status Fill(int fd, ByteView content, const FileAccess& access, const std::string& path) {
  SIGNET_RETURN_IF_ERROR(WriteAll(fd, content, path));
  // The owner first: a change of it takes set-user-ID bits away, and the mode comes after.
  const auto owner = static_cast<uid_t>(access.owner);
  const auto group = static_cast<gid_t>(access.group);
  if ((access.owner >= 0 || access.group >= 0) && fchown(fd, owner, group) != 0)
    return Failed(path);
  if (fchmod(fd, access.mode) != 0 || fsync(fd) != 0) return Failed(path);
  return {};
}

}  // namespace

Status WriteOwnedFileAtomically(const std::string& path, ByteView content,
                                const FileAccess& access) {
  std::string temporary = path + ".XXXXXX" + std::string(kTemporarySuffix);
  const UniqueFd fd(
      mkostemps(temporary.data(), static_cast<int>(kTemporarySuffix.size()), O_CLOEXEC));
  if (!fd.valid()) return Failed(temporary);
  Status filled = Fill(fd.get(), content, access, temporary);
  if (filled && rename(temporary.c_str(), path.c_str()) != 0) filled = Failed(path);
  if (!filled) {
    unlink(temporary.c_str());
    return filled;
  }
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const UniqueFd directory(
      open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || fsync(directory.get()) != 0) return Failed(folder);
  return {};
}

}  // namespace signet
