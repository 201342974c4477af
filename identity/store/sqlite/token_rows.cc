#include "identity/store/sqlite/rows.h"

namespace signet::identity {

Status SqliteTokenRows::Insert(const JoinToken& token) {
  SIGNET_RETURN_IF_ERROR(
      connection_.Use("INSERT INTO join_tokens VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
          .Bind(token.digest, token.expires_at, token.agent_path)
          .Run());
  if (connection_.Changes() == 0) return Fail(Code::kAlreadyExists, kTokenExists);
  return {};
}

Result<JoinToken> SqliteTokenRows::Take(const std::string& digest) {
  Statement take =
      connection_.Use("DELETE FROM join_tokens WHERE digest = ?1 RETURNING expires_at, agent_path");
  take.Bind(digest);
  SIGNET_TRY(const bool row, take.Step());
  if (!row) return Fail(Code::kNotFound, kTokenUnknown);
  return JoinToken{digest, take.Integer(0), take.Text(1)};
}

Status SqliteTokenRows::RemoveExpired(std::int64_t before) {
  return connection_.Use("DELETE FROM join_tokens WHERE expires_at < ?1").Bind(before).Run();
}

}  // namespace signet::identity
