#include "identity/store/sqlite/connection.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "base/check.h"

namespace signet::identity {
namespace {

// The operating system's last error on a file of the database: SQLITE_FCNTL_FILE_POINTER is the
// main one, SQLITE_FCNTL_JOURNAL_POINTER the write-ahead log.
int LastErrno(sqlite3* database, int which) {
  sqlite3_file* file = nullptr;
  int error = 0;
  if (sqlite3_file_control(database, "main", which, &file) != SQLITE_OK || file == nullptr ||
      file->pMethods == nullptr) {
    return 0;
  }
  file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
  return error;
}

// SQLite knows ENOSPC as SQLITE_FULL; a quota or a limit on file size is the same to us.
bool IsDiskFull(int code, sqlite3* database) {
  if ((code & 0xff) == SQLITE_FULL) return true;
  if ((code & 0xff) != SQLITE_IOERR || database == nullptr) return false;
  for (const int which : {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER}) {
    const int error = LastErrno(database, which);
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) return true;
  }
  return false;
}

tl::unexpected<Error> FailWith(sqlite3* database, int code) {
  const std::string text = database == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(database);
  if (IsDiskFull(code, database)) {
    return Fail(Code::kResourceExhausted, kStoreFull,
                text + "; free some space, changes are then accepted again");
  }
  if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) {
    return Fail(Code::kUnavailable, kStoreSyncFailed, text);
  }
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Fail(Code::kDataLoss, kStoreCorrupt,
                  text + "; nothing was overwritten: restore the file from a backup");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Fail(Code::kUnavailable, kStoreUnavailable,
                  text + "; another process uses the file: end it or wait for it");
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
      return Fail(Code::kInternal, kStoreRefused, text);
    default:
      return Fail(Code::kUnavailable, kStoreUnavailable, text);
  }
}

}  // namespace

Statement::Statement(sqlite3* database, sqlite3_stmt* statement, Status prepared)
    : database_(database), statement_(statement), prepared_(std::move(prepared)) {}

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      prepared_(std::move(other.prepared_)) {}

Statement::~Statement() { Reset(); }

void Statement::Reset() {
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

void Statement::BindInteger(int index, std::int64_t value) {
  if (!prepared_) return;
  if (const int code = sqlite3_bind_int64(statement_, index, value); code != SQLITE_OK) {
    prepared_ = FailWith(database_, code);
  }
}

void Statement::BindText(int index, std::string_view value) {
  if (!prepared_) return;
  const char* data = value.empty() ? "" : value.data();
  const int code =
      sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) prepared_ = FailWith(database_, code);
}

void Statement::BindBlob(int index, ByteView value) {
  if (!prepared_) return;
  const void* data = value.empty() ? static_cast<const void*>("") : value.data();
  const int code = sqlite3_bind_blob64(statement_, index, data, value.size(), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) prepared_ = FailWith(database_, code);
}

Result<bool> Statement::Step() {
  if (!prepared_) return Fail(prepared_.error());
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return FailWith(database_, sqlite3_extended_errcode(database_));
}

Status Statement::Run() {
  while (true) {
    const Result<bool> row = Step();
    if (row && *row) continue;
    Reset();
    if (!row) return Fail(row.error());
    return {};
  }
}

std::int64_t Statement::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return text == nullptr ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

Bytes Statement::Blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? Bytes() : Bytes(data, data + size);
}

Result<std::unique_ptr<Connection>> Connection::Open(const std::string& path,
                                                     std::chrono::milliseconds busy_timeout) {
  sqlite3* database = nullptr;
  // A relative path must not be read as one of SQLite's special names.
  const std::string file = path.starts_with('/') ? path : "./" + path;
  const int code =
      sqlite3_open_v2(file.c_str(), &database,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  std::unique_ptr<Connection> connection(new Connection(database));
  if (code != SQLITE_OK) return FailWith(database, code);
  sqlite3_busy_timeout(database, static_cast<int>(busy_timeout.count()));
  // The file is ours, but may have been prepared by someone else.
  sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return connection;
}

Status Connection::LastError() const { return LastError(sqlite3_extended_errcode(database_)); }
Status Connection::LastError(int code) const { return FailWith(database_, code); }

Connection::~Connection() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(database_);
}

Statement Connection::Use(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code =
        sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return Statement(database_, nullptr, FailWith(database_, code));
  }
  CHECK_TRUE(sqlite3_stmt_busy(statement) == 0);
  return Statement(database_, statement, {});
}

Status Connection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return FailWith(database_, code);
  return {};
}

Result<std::int64_t> Connection::QueryInteger(const char* sql) {
  Statement query = Use(sql);
  SIGNET_TRY(const bool row, query.Step());
  return row ? query.Integer(0) : 0;
}

Result<std::string> Connection::QueryText(const char* sql) {
  Statement query = Use(sql);
  SIGNET_TRY(const bool row, query.Step());
  return row ? query.Text(0) : std::string();
}

std::int64_t Connection::Changes() const { return sqlite3_changes64(database_); }
bool Connection::InTransaction() const { return sqlite3_get_autocommit(database_) == 0; }

}  // namespace signet::identity
