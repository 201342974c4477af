// The tables, one class per aggregate: how each value is written, and read back. One .cc file each.
//
// Threads: as the connection's.
#pragma once

#include <vector>

#include "ca/crypto/digest.h"
#include "identity/store/sqlite/connection.h"
#include "identity/store/store.h"

namespace signet::identity {

class SqliteEntryRows final : public EntryRows {
 public:
  explicit SqliteEntryRows(Connection& connection) : connection_(connection) {}
  Status Put(const Entry& entry) override;
  Status Remove(const std::string& id) override;
  // In the order of creation, as all Load() are.
  static Result<std::vector<Entry>> Load(Connection& connection);

 private:
  Connection& connection_;
};

class SqliteNodeRows final : public NodeRows {
 public:
  explicit SqliteNodeRows(Connection& connection) : connection_(connection) {}
  Status Put(const Node& node) override;
  Status Remove(const SpiffeId& id) override;
  static Result<std::vector<Node>> Load(Connection& connection);

 private:
  Connection& connection_;
};

class SqliteTokenRows final : public TokenRows {
 public:
  explicit SqliteTokenRows(Connection& connection) : connection_(connection) {}
  Status Insert(const JoinToken& token) override;
  Result<JoinToken> Take(const std::string& digest) override;
  Status RemoveExpired(std::int64_t before) override;

 private:
  Connection& connection_;
};

class SqliteBundleRows final : public BundleRows {
 public:
  explicit SqliteBundleRows(Connection& connection) : connection_(connection) {}
  Status Put(const Bundle& bundle) override;
  Status Remove(const TrustDomain& trust_domain) override;
  static Result<std::vector<Bundle>> Load(Connection& connection);

 private:
  Connection& connection_;
};

class SqliteAuthorityRows final : public AuthorityRows {
 public:
  explicit SqliteAuthorityRows(Connection& connection) : connection_(connection) {}
  Status Put(const AuthorityRecord& record) override;
  Status Remove(const std::string& type, const std::string& id) override;
  static Result<std::vector<AuthorityRecord>> Load(Connection& connection);

 private:
  Connection& connection_;
};

class SqliteDenialRows final : public DenialRows {
 public:
  explicit SqliteDenialRows(Connection& connection) : connection_(connection) {}
  Status Put(const Denial& denial) override;
  Status Remove(const std::string& id) override;
  static Result<std::vector<Denial>> Load(Connection& connection);
  static Result<std::vector<LiveSerial>> LoadLiveSerials(Connection& connection,
                                                         const std::string& requested_by,
                                                         std::int64_t now, std::size_t limit);

 private:
  Connection& connection_;
};

class SqliteFederationRows final : public FederationRows {
 public:
  explicit SqliteFederationRows(Connection& connection) : connection_(connection) {}
  Status Put(const FederationRelationship& relationship) override;
  Status Remove(const TrustDomain& trust_domain) override;
  static Result<std::vector<FederationRelationship>> Load(Connection& connection);

 private:
  Connection& connection_;
};

class SqliteAuditRows {
 public:
  explicit SqliteAuditRows(Connection& connection) : connection_(connection) {}
  Status Append(const std::vector<AuditRecord>& records);
  Status Prune(std::uint64_t seq);
  Status PutCheckpoint(const LogCheckpoint& checkpoint);
  static Result<LogHead> Head(Connection& connection);
  static Result<LogHead> Base(Connection& connection);
  static Result<std::vector<LoggedRecord>> Load(Connection& connection, const LogFilter& filter);
  static Result<std::vector<CurrentSvid>> CurrentSvids(Connection& connection, std::int64_t now);
  static Result<std::vector<LogCheckpoint>> Checkpoints(Connection& connection, std::size_t limit);

 private:
  Connection& connection_;
};

// A row that does not parse back: somebody else wrote it. kStoreCorrupt.
tl::unexpected<Error> FailUnreadableRow(std::string_view table, const std::string& key,
                                        const Error& why);

}  // namespace signet::identity
