#include "identity/store/sqlite/rows.h"

namespace signet::identity {

Status SqliteDenialRows::Put(const Denial& denial) {
  return connection_
      .Use(
          "INSERT OR REPLACE INTO denials (id, kind, subject, created_at, until, reason, "
          "created_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      .Bind(denial.id, static_cast<std::int64_t>(denial.kind), denial.subject, denial.created_at,
            denial.until, denial.reason, denial.created_by)
      .Run();
}

Status SqliteDenialRows::Remove(const std::string& id) {
  return connection_.Use("DELETE FROM denials WHERE id = ?1").Bind(id).Run();
}

Result<std::vector<Denial>> SqliteDenialRows::Load(Connection& connection) {
  std::vector<Denial> denials;
  Statement query = connection.Use(
      "SELECT id, kind, subject, created_at, until, reason, created_by FROM denials ORDER BY id");
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return denials;
    Denial denial;
    denial.id = query.Text(0);
    const std::int64_t kind = query.Integer(1);
    if (kind < 1 || kind > 3)
      return FailUnreadableRow("denials", denial.id,
                               Error{Code::kDataLoss, kDenialMalformed, "unknown kind"});
    denial.kind = static_cast<DenialKind>(kind);
    auto subject = NormalizeDenialSubject(denial.kind, query.Text(2));
    if (!subject) return FailUnreadableRow("denials", denial.id, subject.error());
    denial.subject = *std::move(subject);
    denial.created_at = query.Integer(3);
    denial.until = query.Integer(4);
    denial.reason = query.Text(5);
    denial.created_by = query.Text(6);
    denials.push_back(std::move(denial));
  }
}

Result<std::vector<LiveSerial>> SqliteDenialRows::LoadLiveSerials(Connection& connection,
                                                                  const std::string& requested_by,
                                                                  std::int64_t now,
                                                                  std::size_t limit) {
  std::vector<LiveSerial> serials;
  Statement query = connection.Use(
      "SELECT serial, not_after FROM audit_log WHERE requested_by = ?1 AND not_after > ?2"
      " AND purpose = 'workload' ORDER BY not_after DESC LIMIT ?3");
  query.Bind(requested_by, now, static_cast<std::int64_t>(limit));
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return serials;
    serials.push_back({query.Text(0), query.Integer(1)});
  }
}

}  // namespace signet::identity
