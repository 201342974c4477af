#include "identity/store/sqlite/database_copy.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "identity/store/sqlite/connection.h"

namespace signet::identity {
namespace {

constexpr std::chrono::milliseconds kBusyTimeout(5000);
constexpr int kPagesPerSlice = 1024;

// Made empty by us first: sqlite3_open would take a file's mode from the umask.
Status MakeEmpty(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (fd.valid()) return {};
  return Fail(Code::kUnavailable, kStoreUnavailable, path + ": " + ErrnoText(errno));
}

Status CopyPages(Connection& from, Connection& to, const CopyProgress& progress) {
  const std::unique_ptr<sqlite3_backup, int (*)(sqlite3_backup*)> backup(
      sqlite3_backup_init(to.handle(), "main", from.handle(), "main"), sqlite3_backup_finish);
  if (!backup) return to.LastError();
  while (true) {
    const int code = sqlite3_backup_step(backup.get(), kPagesPerSlice);
    const auto all = static_cast<std::size_t>(sqlite3_backup_pagecount(backup.get()));
    progress(all - static_cast<std::size_t>(sqlite3_backup_remaining(backup.get())), all);
    if (code == SQLITE_DONE) return {};
    if (code != SQLITE_OK) return to.LastError(code);
  }
}

Status CheckWhole(Connection& copy) {
  SIGNET_TRY(const std::string verdict, copy.QueryText("PRAGMA integrity_check(1)"));
  if (verdict == "ok") return {};
  return Fail(Code::kDataLoss, kStoreCorrupt, "the copy is not whole: " + verdict);
}

}  // namespace

Status CopyDatabase(const std::string& from, const std::string& to, const CopyProgress& progress) {
  SIGNET_TRY(const auto source, Connection::Open(from, kBusyTimeout));
  SIGNET_RETURN_IF_ERROR(MakeEmpty(to));
  SIGNET_TRY(const auto copy, Connection::Open(to, kBusyTimeout));
  // One read transaction around all slices: they see one moment, whatever is committed meanwhile.
  SIGNET_RETURN_IF_ERROR(source->Execute("BEGIN"));
  SIGNET_TRY([[maybe_unused]] const auto revision,
             source->QueryInteger("SELECT count(*) FROM sqlite_schema"));
  SIGNET_RETURN_IF_ERROR(CopyPages(*source, *copy, progress));
  SIGNET_RETURN_IF_ERROR(source->Execute("ROLLBACK"));
  // The header copied says "write-ahead log"; a file that travels alone must not need one.
  SIGNET_RETURN_IF_ERROR(copy->Execute("PRAGMA journal_mode = DELETE"));
  return CheckWhole(*copy);
}

}  // namespace signet::identity
