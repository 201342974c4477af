#include <array>
#include <chrono>

#include "identity/store/sqlite/rows.h"

namespace signet::identity {
namespace {

inline constexpr Reason kStateUnknown{"unknown authority state"};

constexpr std::array<std::pair<ca::AuthorityState, std::string_view>, 3> kStates{{
    {ca::AuthorityState::kPrepared, "prepared"},
    {ca::AuthorityState::kActive, "active"},
    {ca::AuthorityState::kOld, "old"},
}};

std::string_view StateText(ca::AuthorityState state) {
  for (const auto& [value, text] : kStates) {
    if (value == state) return text;
  }
  return "";
}

Result<ca::AuthorityState> ParseState(std::string_view text) {
  for (const auto& [value, name] : kStates) {
    if (name == text) return value;
  }
  return Fail(Code::kDataLoss, kStateUnknown, std::string(text));
}

std::int64_t Nanoseconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}
WallTime FromNanoseconds(std::int64_t value) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::nanoseconds(value)));
}

Status LoadChain(Connection& connection, std::int64_t seq, AuthorityRecord& record) {
  Statement query = connection.Use(
      "SELECT certificate FROM authority_chains WHERE authority_seq = ?1 ORDER BY position");
  query.Bind(seq);
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return {};
    record.chain.push_back(query.Blob(0));
  }
}

}  // namespace

Status SqliteAuthorityRows::Put(const AuthorityRecord& record) {
  std::int64_t seq = 0;
  {
    Statement put = connection_.Use(
        "INSERT INTO authorities (type, id, key_id, state, issued_at_ns, not_after_ns, tainted, "
        "public_key)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        " ON CONFLICT (type, id) DO UPDATE SET key_id = ?3, state = ?4, issued_at_ns = ?5, "
        "not_after_ns = ?6,"
        " tainted = ?7, public_key = ?8 RETURNING seq");
    put.Bind(record.type, record.slot.id, record.slot.key_id, StateText(record.slot.state),
             Nanoseconds(record.slot.issued_at), Nanoseconds(record.slot.not_after),
             record.slot.tainted, record.public_key);
    SIGNET_TRY(const bool row, put.Step());
    if (!row) return Fail(Code::kInternal, kStoreRefused, "authority " + record.slot.id);
    seq = put.Integer(0);
  }
  SIGNET_RETURN_IF_ERROR(
      connection_.Use("DELETE FROM authority_chains WHERE authority_seq = ?1").Bind(seq).Run());
  int position = 0;
  for (const Bytes& certificate : record.chain) {
    SIGNET_RETURN_IF_ERROR(connection_.Use("INSERT INTO authority_chains VALUES (?1, ?2, ?3)")
                               .Bind(seq, position++, certificate)
                               .Run());
  }
  return {};
}

Status SqliteAuthorityRows::Remove(const std::string& type, const std::string& id) {
  return connection_.Use("DELETE FROM authorities WHERE type = ?1 AND id = ?2")
      .Bind(type, id)
      .Run();
}

Result<std::vector<AuthorityRecord>> SqliteAuthorityRows::Load(Connection& connection) {
  std::vector<AuthorityRecord> records;
  Statement query = connection.Use(
      "SELECT seq, type, id, key_id, state, issued_at_ns, not_after_ns, tainted, public_key FROM "
      "authorities"
      " ORDER BY seq");
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return records;
    AuthorityRecord record;
    record.type = query.Text(1);
    record.slot.id = query.Text(2);
    record.slot.key_id = query.Text(3);
    const auto state = ParseState(query.Text(4));
    if (!state) return FailUnreadableRow("authorities", record.slot.id, state.error());
    record.slot.state = *state;
    record.slot.issued_at = FromNanoseconds(query.Integer(5));
    record.slot.not_after = FromNanoseconds(query.Integer(6));
    record.slot.tainted = query.Boolean(7);
    record.public_key = query.Blob(8);
    SIGNET_RETURN_IF_ERROR(LoadChain(connection, query.Integer(0), record));
    records.push_back(std::move(record));
  }
}

}  // namespace signet::identity
