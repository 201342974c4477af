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

class SqliteFederationRows final : public FederationRows {
 public:
  explicit SqliteFederationRows(Connection& connection) : connection_(connection) {}
  Status Put(const FederationRelationship& relationship) override;
  Status Remove(const TrustDomain& trust_domain) override;
  static Result<std::vector<FederationRelationship>> Load(Connection& connection);

 private:
  Connection& connection_;
};

class SqliteIssuanceRows {
 public:
  explicit SqliteIssuanceRows(Connection& connection) : connection_(connection) {}
  Status Append(const std::vector<IssuanceRecord>& records);
  static Result<std::vector<IssuanceRecord>> Load(Connection& connection,
                                                  const std::string& serial_or_id,
                                                  std::size_t limit);
  // Recomputes the whole chain; answers how many records it holds. Fails with kIssuanceChainBroken,
  // naming the first record that does not fit.
  static Result<std::uint64_t> VerifyChain(Connection& connection);

 private:
  Connection& connection_;
};

// A row that does not parse back: somebody else wrote it. kStoreCorrupt.
tl::unexpected<Error> FailUnreadableRow(std::string_view table, const std::string& key,
                                        const Error& why);

}  // namespace signet::identity
