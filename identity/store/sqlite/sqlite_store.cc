#include "identity/store/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "identity/store/sqlite/rows.h"
#include "identity/store/sqlite/schema.h"
#include "identity/store/sqlite/writer.h"

namespace signet::identity {
namespace {

// Makes the file with mode 0600 when missing, and takes other users' access away when there. An
// existing file is not opened here: closing it would drop the locks of this process on it.
Status PrepareFile(const std::string& path, const Logger& log) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISREG(status.st_mode)) {
      return Fail(Code::kFailedPrecondition, kStoreUnavailable, path + " is not a regular file");
    }
    if ((status.st_mode & 077) == 0) return {};
    if (::chmod(path.c_str(), 0600) != 0) {
      return Fail(Code::kUnavailable, kStoreUnavailable,
                  "chmod 0600 " + path + ": " + ErrnoText(errno));
    }
    log.Warn("the database was open to other users; now it is not", {{"path", path}});
    return {};
  }
  const UniqueFd created(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  if (created.valid() || errno == EEXIST) return {};
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) return Fail(Code::kResourceExhausted, kStoreFull, path);
  return Fail(Code::kUnavailable, kStoreUnavailable,
              "cannot create " + path + ": " + ErrnoText(error) +
                  "; check that its folder is there and writable");
}

Status Configure(Connection& connection) {
  SIGNET_TRY(const std::string mode, connection.QueryText("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return Fail(Code::kFailedPrecondition, kStoreUnavailable,
                "no write-ahead log on this file system (" + mode + "); use a local disk");
  }
  return connection.Execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
}

tl::unexpected<Error> FailNamingFile(const std::string& path, Error error) {
  error.detail = path + ": " + error.detail;
  return Fail(std::move(error));
}

class SqliteTransaction final : public Transaction {
 public:
  SqliteTransaction(Connection& connection, Revision revision)
      : revision_(revision),
        entries_(connection),
        nodes_(connection),
        tokens_(connection),
        bundles_(connection),
        authorities_(connection),
        federation_(connection),
        denials_(connection) {}
  Revision revision() const override { return revision_; }
  EntryRows& entries() override { return entries_; }
  NodeRows& nodes() override { return nodes_; }
  TokenRows& tokens() override { return tokens_; }
  BundleRows& bundles() override { return bundles_; }
  AuthorityRows& authorities() override { return authorities_; }
  FederationRows& federation() override { return federation_; }
  DenialRows& denials() override { return denials_; }

 private:
  const Revision revision_;
  SqliteEntryRows entries_;
  SqliteNodeRows nodes_;
  SqliteTokenRows tokens_;
  SqliteBundleRows bundles_;
  SqliteAuthorityRows authorities_;
  SqliteFederationRows federation_;
  SqliteDenialRows denials_;
};

Result<Revision> NextRevision(Connection& connection) {
  Statement next = connection.Use("UPDATE revision SET value = value + 1 RETURNING value");
  SIGNET_TRY(const bool row, next.Step());
  if (!row) return Fail(Code::kDataLoss, kStoreCorrupt, "the revision is missing");
  return static_cast<Revision>(next.Integer(0));
}

}  // namespace

struct SqliteStore::State {
  State(std::unique_ptr<Connection> read_connection, std::unique_ptr<Connection> write_connection,
        std::size_t queue_limit, const Logger& log)
      : reader(std::move(read_connection)), writer(std::move(write_connection), queue_limit, log) {}

  std::mutex reader_mutex;
  std::unique_ptr<Connection> reader;
  SqliteWriter writer;
};

SqliteStore::SqliteStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path,
                                                       const TrustDomain& trust_domain,
                                                       const Logger& log,
                                                       const SqliteSettings& settings) {
  SIGNET_RETURN_IF_ERROR(PrepareFile(path, log));
  auto writer = Connection::Open(path, settings.busy_timeout);
  if (!writer) return FailNamingFile(path, std::move(writer).error());
  Status ready = CheckDatabase(**writer, trust_domain, SqliteMigrations());
  if (ready) ready = Configure(**writer);
  if (ready) ready = Migrate(**writer, trust_domain, SqliteMigrations(), log);
  if (!ready) return FailNamingFile(path, std::move(ready).error());
  auto reader = Connection::Open(path, settings.busy_timeout);
  if (!reader) return FailNamingFile(path, std::move(reader).error());
  SIGNET_RETURN_IF_ERROR((*reader)->Execute("PRAGMA query_only = ON"));
  return std::unique_ptr<SqliteStore>(new SqliteStore(
      std::make_unique<State>(*std::move(reader), *std::move(writer), settings.queue_limit, log)));
}

Result<Revision> SqliteStore::Commit(const std::function<Status(Transaction&)>& work) {
  Revision revision = 0;
  SIGNET_RETURN_IF_ERROR(state_->writer.Run([&](Connection& connection) -> Status {
    SIGNET_TRY(revision, NextRevision(connection));
    SqliteTransaction transaction(connection, revision);
    return work(transaction);
  }));
  return revision;
}

Status SqliteStore::AppendRecords(const std::vector<AuditRecord>& records) {
  SqliteWriter& writer = state_->writer;
  if (writer.OnWriterThread()) return SqliteAuditRows(writer.connection()).Append(records);
  return writer.Run(
      [&](Connection& connection) { return SqliteAuditRows(connection).Append(records); });
}

void SqliteStore::SubmitRecords(std::vector<AuditRecord> records,
                                std::function<void(Status)> told) {
  CHECK_TRUE(!state_->writer.OnWriterThread());
  state_->writer.Submit(
      [records = std::move(records)](Connection& connection) {
        return SqliteAuditRows(connection).Append(records);
      },
      std::move(told));
}

Status SqliteStore::PruneLog(std::uint64_t seq) {
  return state_->writer.Run(
      [&](Connection& connection) { return SqliteAuditRows(connection).Prune(seq); });
}

Status SqliteStore::PutCheckpoint(const LogCheckpoint& checkpoint) {
  return state_->writer.Run([&](Connection& connection) {
    return SqliteAuditRows(connection).PutCheckpoint(checkpoint);
  });
}

Status SqliteStore::CheckWritable() const { return state_->writer.CheckWritable(); }

Result<Revision> SqliteStore::LoadRevision() {
  const std::lock_guard lock(state_->reader_mutex);
  SIGNET_TRY(const std::int64_t value, state_->reader->QueryInteger("SELECT value FROM revision"));
  return static_cast<Revision>(value);
}
Result<std::vector<Entry>> SqliteStore::LoadEntries() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteEntryRows::Load(*state_->reader);
}
Result<std::vector<Node>> SqliteStore::LoadNodes() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteNodeRows::Load(*state_->reader);
}
Result<std::vector<Bundle>> SqliteStore::LoadBundles() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteBundleRows::Load(*state_->reader);
}
Result<std::vector<Denial>> SqliteStore::LoadDenials() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteDenialRows::Load(*state_->reader);
}
Result<std::vector<LiveSerial>> SqliteStore::LoadLiveSerials(const std::string& requested_by,
                                                             std::int64_t now, std::size_t limit) {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteDenialRows::LoadLiveSerials(*state_->reader, requested_by, now, limit);
}
Result<std::vector<AuthorityRecord>> SqliteStore::LoadAuthorities() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteAuthorityRows::Load(*state_->reader);
}
Result<std::vector<FederationRelationship>> SqliteStore::LoadRelationships() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteFederationRows::Load(*state_->reader);
}
Result<std::vector<LoggedRecord>> SqliteStore::LoadLog(const LogFilter& filter) {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteAuditRows::Load(*state_->reader, filter);
}
Result<std::vector<CurrentSvid>> SqliteStore::LoadCurrentSvids(std::int64_t now) {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteAuditRows::CurrentSvids(*state_->reader, now);
}
Result<LogHead> SqliteStore::LoadLogHead() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteAuditRows::Head(*state_->reader);
}
Result<LogHead> SqliteStore::LoadLogBase() {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteAuditRows::Base(*state_->reader);
}
Result<std::vector<LogCheckpoint>> SqliteStore::LoadCheckpoints(std::size_t limit) {
  const std::lock_guard lock(state_->reader_mutex);
  return SqliteAuditRows::Checkpoints(*state_->reader, limit);
}

}  // namespace signet::identity
