#include "identity/server/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/file.h"
#include "identity/store/sqlite/log_file.h"

namespace signet::identity {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeyFileBytes = 64 * 1024;
constexpr std::size_t kMostKeys = 10'000;

Error Failed(const std::string& path, const std::string& why) {
  return Error{Code::kUnavailable, kBackupFailed, path + ": " + why};
}

// SQLite says only that it could not open the file.
Status RequireFile(const std::string& path, const Reason& reason, const std::string& hint) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return {};
  return Fail(Code::kNotFound, reason, path + ": there is no such file; " + hint);
}

// The folder while it is filled; it goes again unless it was finished.
class PartialFolder {
 public:
  explicit PartialFolder(std::string path) : path_(std::move(path)) {}
  PartialFolder(const PartialFolder&) = delete;
  ~PartialFolder() {
    std::error_code ignored;
    if (made_) fs::remove_all(path_, ignored);
  }

  Status Make() {
    if (mkdir(path_.c_str(), 0700) != 0) return Fail(Failed(path_, ErrnoText(errno)));
    made_ = true;
    return {};
  }
  Status Finish(const std::string& name) {
    if (rename(path_.c_str(), name.c_str()) != 0) return Fail(Failed(name, ErrnoText(errno)));
    made_ = false;
    return Sync(fs::path(name).parent_path().string());
  }
  const std::string& path() const { return path_; }

  static Status Sync(const std::string& folder) {
    const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.valid() && fsync(fd.get()) == 0) return {};
    return Fail(Failed(folder, ErrnoText(errno)));
  }

 private:
  const std::string path_;
  bool made_ = false;
};

Status CopySecret(const std::string& from, const std::string& to) {
  SIGNET_TRY(const SecretBytes content, ReadSecretFile(from, kKeyFileBytes));
  return WriteFileAtomically(to, content.view(), 0600);
}

// After the database: a key that it names is there, unless the server let go of it just then.
Result<std::size_t> CopyKeys(const std::string& from, const std::string& to) {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(to, 0700));
  std::size_t count = 0;
  std::error_code error;
  for (fs::directory_iterator at(from, error), end; !error && at != end; at.increment(error)) {
    if (!at->is_regular_file(error)) continue;
    if (++count > kMostKeys) return Fail(Failed(from, "more files than a server has keys"));
    const std::string name = at->path().filename().string();
    const Status copied = CopySecret(at->path().string(), (fs::path(to) / name).string());
    if (!copied && copied.error().reason == kFileMissing) continue;  // replaced meanwhile
    SIGNET_RETURN_IF_ERROR(copied);
  }
  if (error) return Fail(Failed(from, error.message()));
  SIGNET_RETURN_IF_ERROR(PartialFolder::Sync(to));
  return count;
}

Status CopyKek(const ServerConfig& config, const std::string& to) {
  if (config.key_store.type != KeyStoreType::kDisk || config.key_store.kek_file.empty())
    return Fail(Failed(to, "there is no kek_file to copy with this key_store"));
  return CopySecret(config.key_store.kek_file, to);
}

Result<LogFileReport> CheckBackup(const ServerConfig& config, const std::string& database) {
  SIGNET_TRY(LogFileReport log, VerifyLogFile(database, std::nullopt));
  if (log.trust_domain == config.trust_domain.name()) return log;
  return Fail(Code::kFailedPrecondition, kRestoreFailed,
              database + ": it is of trust domain " + log.trust_domain + ", the configuration of " +
                  config.trust_domain.name());
}

// The write-ahead log belongs to the file it stands beside and goes with it.
Status PutAside(const std::string& database, const std::string& aside) {
  for (const char* suffix : {"-wal", "-shm", ""}) {
    if (rename((database + suffix).c_str(), (aside + suffix).c_str()) != 0 && errno != ENOENT)
      return Fail(Code::kUnavailable, kRestoreFailed, database + suffix + ": " + ErrnoText(errno));
  }
  return {};
}

}  // namespace

Result<BackupReport> BackupServer(const ServerConfig& config, const BackupRequest& request,
                                  const CopyProgress& progress) {
  const std::string target = fs::absolute(request.folder).lexically_normal().string();
  if (std::error_code ignored; fs::exists(fs::symlink_status(target, ignored)))
    return Fail(Failed(target, "it exists already; name a new folder"));
  SIGNET_RETURN_IF_ERROR(
      RequireFile(config.DatabasePath(), kBackupFailed,
                  "is data_dir of the configuration right, and may this user look into it?"));
  PartialFolder folder(target + ".partial");
  SIGNET_RETURN_IF_ERROR(folder.Make());
  const std::string database = folder.path() + "/server.db";
  SIGNET_RETURN_IF_ERROR(CopyDatabase(config.DatabasePath(), database, progress));
  BackupReport report;
  if (config.key_store.type == KeyStoreType::kDisk) {
    SIGNET_TRY(report.keys, CopyKeys(config.KeyFolder(), folder.path() + "/keys"));
  }
  if (request.with_kek) SIGNET_RETURN_IF_ERROR(CopyKek(config, folder.path() + "/kek"));
  SIGNET_TRY(const LogFileReport log, CheckBackup(config, database));
  report.trust_domain = log.trust_domain;
  report.log_records = log.head.seq;
  SIGNET_RETURN_IF_ERROR(PartialFolder::Sync(folder.path()));
  SIGNET_RETURN_IF_ERROR(folder.Finish(target));
  return report;
}

Result<RestoreReport> RestoreServer(const ServerConfig& config, const std::string& folder,
                                    WallTime now) {
  const std::string source = folder + "/server.db";
  SIGNET_RETURN_IF_ERROR(
      RequireFile(source, kRestoreFailed, "name a folder that signet-server backup made"));
  SIGNET_TRY(const LogFileReport log, CheckBackup(config, source));
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(config.data_dir, 0750));
  SIGNET_TRY(const FileLock lock, FileLock::Acquire(config.LockPath()));
  RestoreReport report;
  report.trust_domain = log.trust_domain;
  report.log_records = log.head.seq;
  // Beside its place first, so that nothing is touched when there is no room for it.
  const std::string incoming = config.DatabasePath() + ".restoring";
  if (unlink(incoming.c_str()) != 0 && errno != ENOENT)
    return Fail(Code::kUnavailable, kRestoreFailed, incoming + ": " + ErrnoText(errno));
  SIGNET_RETURN_IF_ERROR(CopyDatabase(source, incoming, [](std::size_t, std::size_t) {}));
  if (config.key_store.type == KeyStoreType::kDisk) {
    SIGNET_RETURN_IF_ERROR(EnsureDirectory(config.KeyFolder(), 0700));
    SIGNET_TRY(report.keys, CopyKeys(folder + "/keys", config.KeyFolder()));
  }
  if (std::error_code ignored; fs::exists(config.DatabasePath(), ignored)) {
    report.put_aside = fmt::format("{}.replaced-{}", config.DatabasePath(), UnixSeconds(now));
    SIGNET_RETURN_IF_ERROR(PutAside(config.DatabasePath(), report.put_aside));
  }
  if (rename(incoming.c_str(), config.DatabasePath().c_str()) != 0)
    return Fail(Code::kUnavailable, kRestoreFailed, incoming + ": " + ErrnoText(errno));
  SIGNET_RETURN_IF_ERROR(PartialFolder::Sync(config.data_dir));
  return report;
}

}  // namespace signet::identity
