#include "identity/store/sqlite/schema.h"

#include "ca/crypto/digest.h"

namespace signet::identity {
namespace {

std::string Checksum(const Migration& migration) {
  return EncodeHex(ca::Sha256(AsBytes(migration.sql)));
}

Result<bool> HasTable(Connection& connection, std::string_view name) {
  Statement query =
      connection.Use("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1");
  query.Bind(name);
  return query.Step();
}

// How many steps the database holds; each must be one of ours, unchanged.
Result<std::size_t> CheckApplied(Connection& connection, std::span<const Migration> migrations) {
  Statement query =
      connection.Use("SELECT number, name, checksum FROM schema_migrations ORDER BY number");
  std::size_t applied = 0;
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return applied;
    const std::string step = std::to_string(query.Integer(0)) + " (" + query.Text(1) + ")";
    if (applied == migrations.size()) {
      return Fail(Code::kFailedPrecondition, kStoreNewer,
                  "it holds schema step " + step + ", this program knows " +
                      std::to_string(migrations.size()) +
                      "; run the program that wrote it, or a later one");
    }
    const Migration& expected = migrations[applied];
    if (query.Integer(0) != expected.number || query.Text(2) != Checksum(expected)) {
      return Fail(Code::kFailedPrecondition, kStoreNewer,
                  "its schema step " + step +
                      " differs from this program's; run the program that wrote it");
    }
    ++applied;
  }
}

Status CheckTrustDomain(Connection& connection, const TrustDomain& trust_domain) {
  SIGNET_TRY(const std::string stored,
             connection.QueryText("SELECT value FROM meta WHERE key = 'trust_domain'"));
  if (stored == trust_domain.name()) return {};
  return Fail(Code::kFailedPrecondition, kStoreForeign,
              "it holds trust domain '" + stored + "', this server is configured for '" +
                  trust_domain.name() + "'; correct trust_domain, or use another data directory");
}

Status QuickCheck(Connection& connection) {
  Statement query = connection.Use("PRAGMA quick_check(1)");
  SIGNET_TRY(const bool row, query.Step());
  const std::string finding = row ? query.Text(0) : "no answer";
  if (finding == "ok") return {};
  return Fail(Code::kDataLoss, kStoreCorrupt,
              finding + "; nothing was overwritten: restore the file from a backup");
}

Status ApplyLocked(Connection& connection, const TrustDomain& trust_domain,
                   const Migration& migration) {
  SIGNET_RETURN_IF_ERROR(connection.Execute(std::string(migration.sql)));
  if (migration.number == 1) {
    SIGNET_RETURN_IF_ERROR(connection.Use("INSERT INTO meta VALUES ('trust_domain', ?1)")
                               .Bind(trust_domain.name())
                               .Run());
    SIGNET_RETURN_IF_ERROR(
        connection.Use("INSERT INTO revision VALUES (?1, 0)").Bind(trust_domain.name()).Run());
  }
  return connection.Use("INSERT INTO schema_migrations VALUES (?1, ?2, ?3)")
      .Bind(migration.number, migration.name, Checksum(migration))
      .Run();
}

// Applies the first missing step; false when none is.
Result<bool> ApplyNext(Connection& connection, const TrustDomain& trust_domain,
                       std::span<const Migration> migrations, const Logger& log) {
  SIGNET_RETURN_IF_ERROR(connection.Execute(
      "CREATE TABLE IF NOT EXISTS schema_migrations ("
      "number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT"));
  SIGNET_TRY(const std::size_t applied, CheckApplied(connection, migrations));
  if (applied == migrations.size()) return false;
  const Migration& next = migrations[applied];
  SIGNET_RETURN_IF_ERROR(ApplyLocked(connection, trust_domain, next));
  log.Info("database schema step applied", {{"step", next.number}, {"name", next.name}});
  return true;
}

}  // namespace

Status CheckDatabase(Connection& connection, const TrustDomain& trust_domain,
                     std::span<const Migration> migrations) {
  SIGNET_TRY(const std::int64_t tables,
             connection.QueryInteger("SELECT count(*) FROM sqlite_master"));
  if (tables == 0) return {};
  SIGNET_TRY(const bool ours, HasTable(connection, "schema_migrations"));
  if (!ours) {
    return Fail(Code::kFailedPrecondition, kStoreForeign,
                "it is another program's; use another data directory");
  }
  SIGNET_TRY(const std::size_t applied, CheckApplied(connection, migrations));
  if (applied > 0) SIGNET_RETURN_IF_ERROR(CheckTrustDomain(connection, trust_domain));
  return QuickCheck(connection);
}

Status Migrate(Connection& connection, const TrustDomain& trust_domain,
               std::span<const Migration> migrations, const Logger& log) {
  while (true) {
    SIGNET_RETURN_IF_ERROR(connection.Execute("BEGIN EXCLUSIVE"));
    Result<bool> applied = ApplyNext(connection, trust_domain, migrations, log);
    if (!applied) {
      if (connection.InTransaction()) static_cast<void>(connection.Execute("ROLLBACK"));
      return Fail(std::move(applied).error());
    }
    SIGNET_RETURN_IF_ERROR(connection.Execute("COMMIT"));
    if (!*applied) return {};
  }
}

}  // namespace signet::identity
