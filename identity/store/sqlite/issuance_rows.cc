#include <algorithm>

#include "identity/audit/issuance_chain.h"
#include "identity/store/sqlite/rows.h"

namespace signet::identity {
namespace {

// Columns of each query here, in this order, from `first` on.
constexpr int kColumns = 10;

IssuanceRecord ReadRecord(const Statement& row, int first) {
  IssuanceRecord record;
  record.serial = row.Text(first);
  record.spiffe_id = row.Text(first + 1);
  record.purpose = row.Text(first + 2);
  record.entry_id = row.Text(first + 3);
  record.entry_revision = row.Integer(first + 4);
  record.requested_by = row.Text(first + 5);
  record.authority_id = row.Text(first + 6);
  record.not_before = row.Integer(first + 7);
  record.not_after = row.Integer(first + 8);
  record.recorded_at = row.Integer(first + 9);
  return record;
}

Result<ca::Sha256Digest> LastHash(Connection& connection) {
  Statement query = connection.Use("SELECT hash FROM issuances ORDER BY seq DESC LIMIT 1");
  SIGNET_TRY(const bool row, query.Step());
  if (!row) return kIssuanceChainStart;
  const Bytes stored = query.Blob(0);
  ca::Sha256Digest hash{};
  if (stored.size() != hash.size())
    return Fail(Code::kDataLoss, kIssuanceChainBroken, "the last hash is cut");
  std::copy(stored.begin(), stored.end(), hash.begin());
  return hash;
}

}  // namespace

Status SqliteIssuanceRows::Append(const std::vector<IssuanceRecord>& records) {
  SIGNET_TRY(ca::Sha256Digest hash, LastHash(connection_));
  for (const IssuanceRecord& record : records) {
    hash = NextIssuanceHash(hash, record);
    SIGNET_RETURN_IF_ERROR(connection_
                               .Use("INSERT INTO issuances (serial, spiffe_id, purpose, entry_id, "
                                    "entry_revision, requested_by,"
                                    " authority_id, not_before, not_after, recorded_at, hash)"
                                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")
                               .Bind(record.serial, record.spiffe_id, record.purpose,
                                     record.entry_id, record.entry_revision, record.requested_by,
                                     record.authority_id, record.not_before, record.not_after,
                                     record.recorded_at, hash)
                               .Run());
  }
  return {};
}

Result<std::vector<IssuanceRecord>> SqliteIssuanceRows::Load(Connection& connection,
                                                             const std::string& serial_or_id,
                                                             std::size_t limit) {
  std::vector<IssuanceRecord> records;
  Statement query =
      serial_or_id.empty()
          ? connection.Use(
                "SELECT serial, spiffe_id, purpose, entry_id, entry_revision, requested_by, "
                "authority_id, not_before,"
                " not_after, recorded_at FROM issuances ORDER BY seq DESC LIMIT ?1")
          : connection.Use(
                "SELECT serial, spiffe_id, purpose, entry_id, entry_revision, requested_by, "
                "authority_id, not_before,"
                " not_after, recorded_at FROM issuances WHERE serial = ?2 OR spiffe_id = ?2"
                " ORDER BY seq DESC LIMIT ?1");
  // SQLite takes a negative limit as none.
  const std::int64_t rows = static_cast<std::int64_t>(std::min<std::size_t>(limit, INT64_MAX));
  if (serial_or_id.empty()) {
    query.Bind(rows);
  } else {
    query.Bind(rows, serial_or_id);
  }
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return records;
    records.push_back(ReadRecord(query, 0));
  }
}

Result<std::uint64_t> SqliteIssuanceRows::VerifyChain(Connection& connection) {
  ca::Sha256Digest hash = kIssuanceChainStart;
  std::int64_t expected = 1;
  Statement query = connection.Use(
      "SELECT serial, spiffe_id, purpose, entry_id, entry_revision, requested_by, authority_id, "
      "not_before, not_after,"
      " recorded_at, hash, seq FROM issuances ORDER BY seq");
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return static_cast<std::uint64_t>(expected - 1);
    hash = NextIssuanceHash(hash, ReadRecord(query, 0));
    if (query.Integer(kColumns + 1) != expected || !Equal(query.Blob(kColumns), hash)) {
      return Fail(Code::kDataLoss, kIssuanceChainBroken,
                  "record " + std::to_string(expected) + " is not the one that was written");
    }
    ++expected;
  }
}

}  // namespace signet::identity
