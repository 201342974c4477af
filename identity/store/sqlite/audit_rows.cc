#include <algorithm>

#include "identity/audit/log_chain.h"
#include "identity/store/sqlite/rows.h"

namespace signet::identity {
namespace {

// Columns of each query for records here, in this order: place first, then the record.
#define SIGNET_LOG_COLUMNS                                                             \
  "seq, hash, event, recorded_at, requested_by, spiffe_id, entry_id, entry_revision, " \
  "serial, purpose, authority_id, not_before, not_after, detail"

Result<ca::Sha256Digest> ReadDigest(const Statement& row, int column) {
  const Bytes stored = row.Blob(column);
  ca::Sha256Digest hash{};
  if (stored.size() != hash.size())
    return Fail(Code::kDataLoss, kLogChainBroken, "a hash in the log is cut");
  std::copy(stored.begin(), stored.end(), hash.begin());
  return hash;
}

Result<LogHead> ReadHead(const Statement& row) {
  SIGNET_TRY(const auto hash, ReadDigest(row, 1));
  return LogHead{static_cast<std::uint64_t>(row.Integer(0)), hash};
}

Result<LoggedRecord> ReadRecord(const Statement& row) {
  LoggedRecord logged;
  SIGNET_TRY(logged.place, ReadHead(row));
  AuditRecord& record = logged.record;
  record.event = row.Text(2);
  record.recorded_at = row.Integer(3);
  record.actor = row.Text(4);
  record.subject = row.Text(5);
  record.object = row.Text(6);
  record.revision = row.Integer(7);
  record.serial = row.Text(8);
  record.purpose = row.Text(9);
  record.authority_id = row.Text(10);
  record.not_before = row.Integer(11);
  record.not_after = row.Integer(12);
  record.detail = row.Text(13);
  return logged;
}

std::int64_t Bound(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX));
}

// Which index serves: by serial, by subject, or the order itself.
#define SIGNET_LOG_QUERY(by, order)                                              \
  "SELECT " SIGNET_LOG_COLUMNS " FROM audit_log WHERE " by                       \
  " seq > ?1 AND seq < ?2 AND recorded_at >= ?3 AND recorded_at < ?4"            \
  " AND (?5 = '' OR spiffe_id = ?5) AND (?6 = '' OR serial = ?6)"                \
  " AND (?7 = '' OR event = ?7 OR substr(event, 1, length(?7) + 1) = ?7 || '.')" \
  " AND (?8 = '' OR entry_id = ?8) ORDER BY seq " order " LIMIT ?9"

const char* QueryFor(const LogFilter& filter) {
  if (!filter.serial.empty())
    return filter.newest_first ? SIGNET_LOG_QUERY("serial = ?6 AND", "DESC")
                               : SIGNET_LOG_QUERY("serial = ?6 AND", "ASC");
  if (!filter.subject.empty())
    return filter.newest_first ? SIGNET_LOG_QUERY("spiffe_id = ?5 AND", "DESC")
                               : SIGNET_LOG_QUERY("spiffe_id = ?5 AND", "ASC");
  return filter.newest_first ? SIGNET_LOG_QUERY("", "DESC") : SIGNET_LOG_QUERY("", "ASC");
}

}  // namespace

Result<LogHead> SqliteAuditRows::Base(Connection& connection) {
  Statement query = connection.Use("SELECT seq, hash FROM audit_base");
  SIGNET_TRY(const bool row, query.Step());
  if (!row) return LogHead{};
  return ReadHead(query);
}

Result<LogHead> SqliteAuditRows::Head(Connection& connection) {
  Statement query = connection.Use("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1");
  SIGNET_TRY(const bool row, query.Step());
  if (!row) return Base(connection);
  return ReadHead(query);
}

Status SqliteAuditRows::Append(const std::vector<AuditRecord>& records) {
  SIGNET_TRY(LogHead head, Head(connection_));
  for (const AuditRecord& record : records) {
    head = {head.seq + 1, NextLogHash(head.hash, record)};
    SIGNET_RETURN_IF_ERROR(
        connection_
            .Use("INSERT INTO audit_log (" SIGNET_LOG_COLUMNS
                 ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)")
            .Bind(Bound(head.seq), head.hash, record.event, record.recorded_at, record.actor,
                  record.subject, record.object, record.revision, record.serial, record.purpose,
                  record.authority_id, record.not_before, record.not_after, record.detail)
            .Run());
  }
  return {};
}

Status SqliteAuditRows::Prune(std::uint64_t seq) {
  SIGNET_TRY(const LogHead base, Base(connection_));
  if (seq <= base.seq) return {};
  SIGNET_TRY(const auto checkpoints, Checkpoints(connection_, 1));
  if (checkpoints.empty() || checkpoints.front().head.seq <= seq)
    return Fail(Code::kFailedPrecondition, kLogPruneRefused, "wait for the next checkpoint");
  LogHead last;
  {
    Statement query = connection_.Use("SELECT seq, hash FROM audit_log WHERE seq = ?1");
    query.Bind(Bound(seq));
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return Fail(Code::kNotFound, kLogChainBroken, "there is no such record");
    SIGNET_TRY(last, ReadHead(query));
  }
  SIGNET_RETURN_IF_ERROR(connection_.Use("DELETE FROM audit_base").Run());
  SIGNET_RETURN_IF_ERROR(connection_.Use("INSERT INTO audit_base (seq, hash) VALUES (?1, ?2)")
                             .Bind(Bound(last.seq), last.hash)
                             .Run());
  return connection_.Use("DELETE FROM audit_log WHERE seq <= ?1").Bind(Bound(seq)).Run();
}

Result<std::vector<LoggedRecord>> SqliteAuditRows::Load(Connection& connection,
                                                        const LogFilter& filter) {
  std::vector<LoggedRecord> records;
  Statement query = connection.Use(QueryFor(filter));
  query.Bind(Bound(filter.after), filter.before == 0 ? INT64_MAX : Bound(filter.before),
             filter.since, filter.until == 0 ? INT64_MAX : filter.until, filter.subject,
             filter.serial, filter.event, filter.object, Bound(filter.limit));
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return records;
    SIGNET_TRY(LoggedRecord record, ReadRecord(query));
    records.push_back(std::move(record));
  }
}

Result<std::vector<CurrentSvid>> SqliteAuditRows::CurrentSvids(Connection& connection,
                                                               std::int64_t now) {
  std::vector<CurrentSvid> current;
  // Beside max(), the other columns are those of the row it found.
  Statement query = connection.Use(
      "SELECT max(seq), authority_id, purpose, requested_by, entry_id, spiffe_id, not_after"
      " FROM audit_log WHERE serial <> '' AND not_after > ?1"
      " AND purpose IN ('workload', 'agent', 'downstream', 'jwt')"
      " GROUP BY purpose, spiffe_id, entry_id,"
      " CASE purpose WHEN 'agent' THEN '' WHEN 'jwt' THEN serial ELSE requested_by END");
  query.Bind(now);
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return current;
    current.push_back({.authority_id = query.Text(1),
                       .purpose = query.Text(2),
                       .actor = query.Text(3),
                       .object = query.Text(4),
                       .subject = query.Text(5),
                       .not_after = query.Integer(6)});
  }
}

Status SqliteAuditRows::PutCheckpoint(const LogCheckpoint& checkpoint) {
  return connection_
      .Use(
          "INSERT OR REPLACE INTO audit_checkpoints (seq, hash, made_at, public_key, signature)"
          " VALUES (?1, ?2, ?3, ?4, ?5)")
      .Bind(Bound(checkpoint.head.seq), checkpoint.head.hash, checkpoint.made_at,
            checkpoint.public_key, checkpoint.signature)
      .Run();
}

Result<std::vector<LogCheckpoint>> SqliteAuditRows::Checkpoints(Connection& connection,
                                                                std::size_t limit) {
  std::vector<LogCheckpoint> checkpoints;
  Statement query = connection.Use(
      "SELECT seq, hash, made_at, public_key, signature FROM audit_checkpoints"
      " ORDER BY seq DESC LIMIT ?1");
  query.Bind(Bound(limit));
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return checkpoints;
    SIGNET_TRY(const LogHead head, ReadHead(query));
    checkpoints.push_back({head, query.Integer(2), query.Blob(3), query.Blob(4)});
  }
}

#undef SIGNET_LOG_COLUMNS
#undef SIGNET_LOG_QUERY

}  // namespace signet::identity
