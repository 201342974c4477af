#include <algorithm>

#include "identity/store/sqlite/rows.h"

namespace signet::identity {
namespace {

Status PutLists(Connection& connection, std::int64_t seq, const Entry& entry) {
  SIGNET_RETURN_IF_ERROR(
      connection.Use("DELETE FROM entry_selectors WHERE entry_seq = ?1").Bind(seq).Run());
  SIGNET_RETURN_IF_ERROR(
      connection.Use("DELETE FROM entry_federates_with WHERE entry_seq = ?1").Bind(seq).Run());
  SIGNET_RETURN_IF_ERROR(
      connection.Use("DELETE FROM entry_dns_names WHERE entry_seq = ?1").Bind(seq).Run());
  for (const Selector& selector : entry.selectors) {
    SIGNET_RETURN_IF_ERROR(connection.Use("INSERT INTO entry_selectors VALUES (?1, ?2, ?3)")
                               .Bind(seq, selector.type, selector.value)
                               .Run());
  }
  for (const TrustDomain& trust_domain : entry.federates_with) {
    SIGNET_RETURN_IF_ERROR(connection.Use("INSERT INTO entry_federates_with VALUES (?1, ?2)")
                               .Bind(seq, trust_domain.name())
                               .Run());
  }
  int position = 0;
  for (const std::string& name : entry.dns_names) {
    SIGNET_RETURN_IF_ERROR(connection.Use("INSERT INTO entry_dns_names VALUES (?1, ?2, ?3)")
                               .Bind(seq, position++, name)
                               .Run());
  }
  return {};
}

// The entries with their row numbers, in the order of both.
struct NumberedEntries {
  std::vector<Entry> entries;
  std::vector<std::int64_t> numbers;
};

Result<NumberedEntries> LoadPlain(Connection& connection) {
  NumberedEntries loaded;
  SIGNET_TRY(const std::int64_t count, connection.QueryInteger("SELECT count(*) FROM entries"));
  loaded.entries.reserve(static_cast<std::size_t>(count));
  loaded.numbers.reserve(static_cast<std::size_t>(count));
  Statement query = connection.Use(
      "SELECT seq, id, spiffe_id, parent_id, x509_svid_ttl, jwt_svid_ttl, admin, downstream, "
      "expires_at,"
      " revision_number, store_svid, hint, created_at, disable_x509_svid_prefetch, "
      "jwt_svid_include_jti"
      " FROM entries ORDER BY seq");
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return loaded;
    Entry entry;
    entry.id = query.Text(1);
    auto spiffe_id = SpiffeId::Parse(query.Text(2));
    if (!spiffe_id) return FailUnreadableRow("entries", entry.id, spiffe_id.error());
    auto parent_id = SpiffeId::Parse(query.Text(3));
    if (!parent_id) return FailUnreadableRow("entries", entry.id, parent_id.error());
    entry.spiffe_id = *std::move(spiffe_id);
    entry.parent_id = *std::move(parent_id);
    entry.x509_svid_ttl = static_cast<std::int32_t>(query.Integer(4));
    entry.jwt_svid_ttl = static_cast<std::int32_t>(query.Integer(5));
    entry.admin = query.Boolean(6);
    entry.downstream = query.Boolean(7);
    entry.expires_at = query.Integer(8);
    entry.revision_number = query.Integer(9);
    entry.store_svid = query.Boolean(10);
    entry.hint = query.Text(11);
    entry.created_at = query.Integer(12);
    entry.disable_x509_svid_prefetch = query.Boolean(13);
    entry.jwt_svid_include_jti = query.Boolean(14);
    loaded.numbers.push_back(query.Integer(0));
    loaded.entries.push_back(std::move(entry));
  }
}

// Walks a list table in the order of entry_seq beside `loaded` and gives each row to its entry.
template <class Add>
Status Merge(Connection& connection, const char* sql, NumberedEntries& loaded, const Add& add) {
  Statement query = connection.Use(sql);
  std::size_t at = 0;
  while (true) {
    SIGNET_TRY(const bool row, query.Step());
    if (!row) return {};
    const std::int64_t seq = query.Integer(0);
    while (at < loaded.numbers.size() && loaded.numbers[at] < seq) ++at;
    if (at == loaded.numbers.size() || loaded.numbers[at] != seq) continue;
    SIGNET_RETURN_IF_ERROR(add(loaded.entries[at], query));
  }
}

}  // namespace

Status SqliteEntryRows::Put(const Entry& entry) {
  std::int64_t seq = 0;
  {
    Statement put = connection_.Use(
        "INSERT INTO entries (id, spiffe_id, parent_id, x509_svid_ttl, jwt_svid_ttl, admin, "
        "downstream, expires_at,"
        " revision_number, store_svid, hint, created_at, disable_x509_svid_prefetch, "
        "jwt_svid_include_jti)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
        " ON CONFLICT (id) DO UPDATE SET spiffe_id = ?2, parent_id = ?3, x509_svid_ttl = ?4, "
        "jwt_svid_ttl = ?5,"
        " admin = ?6, downstream = ?7, expires_at = ?8, revision_number = ?9, store_svid = ?10, "
        "hint = ?11,"
        " created_at = ?12, disable_x509_svid_prefetch = ?13, jwt_svid_include_jti = ?14"
        " RETURNING seq");
    put.Bind(entry.id, entry.spiffe_id.ToString(), entry.parent_id.ToString(), entry.x509_svid_ttl,
             entry.jwt_svid_ttl, entry.admin, entry.downstream, entry.expires_at,
             entry.revision_number, entry.store_svid, entry.hint, entry.created_at,
             entry.disable_x509_svid_prefetch, entry.jwt_svid_include_jti);
    SIGNET_TRY(const bool row, put.Step());
    if (!row) return Fail(Code::kInternal, kStoreRefused, "entry " + entry.id);
    seq = put.Integer(0);
  }
  return PutLists(connection_, seq, entry);
}

Status SqliteEntryRows::Remove(const std::string& id) {
  return connection_.Use("DELETE FROM entries WHERE id = ?1").Bind(id).Run();
}

Result<std::vector<Entry>> SqliteEntryRows::Load(Connection& connection) {
  SIGNET_TRY(NumberedEntries loaded, LoadPlain(connection));
  SIGNET_RETURN_IF_ERROR(
      Merge(connection,
            "SELECT entry_seq, type, value FROM entry_selectors ORDER BY entry_seq, type, value",
            loaded, [](Entry& entry, const Statement& row) -> Status {
              entry.selectors.push_back({row.Text(1), row.Text(2)});
              return {};
            }));
  SIGNET_RETURN_IF_ERROR(Merge(
      connection,
      "SELECT entry_seq, trust_domain FROM entry_federates_with ORDER BY entry_seq, trust_domain",
      loaded, [](Entry& entry, const Statement& row) -> Status {
        auto trust_domain = TrustDomain::Parse(row.Text(1));
        if (!trust_domain)
          return FailUnreadableRow("entry_federates_with", entry.id, trust_domain.error());
        entry.federates_with.push_back(*std::move(trust_domain));
        return {};
      }));
  SIGNET_RETURN_IF_ERROR(
      Merge(connection, "SELECT entry_seq, name FROM entry_dns_names ORDER BY entry_seq, position",
            loaded, [](Entry& entry, const Statement& row) -> Status {
              entry.dns_names.push_back(row.Text(1));
              return {};
            }));
  // Entries live long: what the growing lists took too much is given back.
  for (Entry& entry : loaded.entries) entry.selectors.shrink_to_fit();
  return std::move(loaded.entries);
}

tl::unexpected<Error> FailUnreadableRow(std::string_view table, const std::string& key,
                                        const Error& why) {
  return Fail(Code::kDataLoss, kStoreCorrupt,
              "table " + std::string(table) + ", row " + key + ": " + why.Message());
}

}  // namespace signet::identity
