// What is durable, per aggregate, and the one way to change it: a transaction that commits with the
// trust domain's next revision. Implementations: sqlite/ (and a fake in tests/support); one
// contract suite runs over each.
//
// Threads: Store is safe from any thread. Commit() blocks until the change is durable; several
// callers' transactions may share one commit to disk (group commit), each in its own savepoint: one
// failing undoes only itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ca/authority/authority_slots.h"
#include "identity/audit/audit_record.h"
#include "identity/bundle/bundle.h"
#include "identity/federation/relationship.h"
#include "identity/registry/node.h"
#include "identity/svid/denial.h"

namespace signet::identity {

inline constexpr Reason kStoreUnavailable{"database unavailable"};
inline constexpr Reason kStoreCorrupt{"database corrupt"};
inline constexpr Reason kStoreNewer{"database is newer than this program"};
inline constexpr Reason kStoreForeign{"database belongs to another trust domain"};
inline constexpr Reason kStoreFull{"disk full"};
inline constexpr Reason kStoreBusy{"too many changes are waiting for the database"};
inline constexpr Reason kLogPruneRefused{"log records without a newer checkpoint stay"};
inline constexpr Reason kTokenExists{"join token already exists"};
inline constexpr Reason kTokenUnknown{"join token does not exist or has already been used"};

using Revision = std::uint64_t;

struct AuthorityRecord {
  ca::AuthoritySlot slot;
  std::string type;          // "x509" or "jwt"
  std::vector<Bytes> chain;  // x509: DER, own certificate first, the root in the bundle last
  Bytes public_key;          // jwt: SubjectPublicKeyInfo
};

// An X.509-SVID of the log that has not ended.
struct LiveSerial {
  std::string serial;  // hex
  std::int64_t not_after = 0;
};

class EntryRows {
 public:
  virtual ~EntryRows() = default;
  virtual Status Put(const Entry& entry) = 0;  // insert or replace by id
  virtual Status Remove(const std::string& id) = 0;
};
class NodeRows {
 public:
  virtual ~NodeRows() = default;
  virtual Status Put(const Node& node) = 0;
  virtual Status Remove(const SpiffeId& id) = 0;
};
class TokenRows {
 public:
  virtual ~TokenRows() = default;
  virtual Status Insert(const JoinToken& token) = 0;  // kTokenExists (ALREADY_EXISTS)
  // Removes and answers it; NOT_FOUND (kTokenUnknown) the second time.
  virtual Result<JoinToken> Take(const std::string& digest) = 0;
  virtual Status RemoveExpired(std::int64_t before) = 0;
};
class BundleRows {
 public:
  virtual ~BundleRows() = default;
  virtual Status Put(const Bundle& bundle) = 0;
  virtual Status Remove(const TrustDomain& trust_domain) = 0;
};
class FederationRows {
 public:
  virtual ~FederationRows() = default;
  virtual Status Put(const FederationRelationship& relationship) = 0;  // by trust domain
  virtual Status Remove(const TrustDomain& trust_domain) = 0;
};
class AuthorityRows {
 public:
  virtual ~AuthorityRows() = default;
  virtual Status Put(const AuthorityRecord& record) = 0;  // by type and slot.id
  virtual Status Remove(const std::string& type, const std::string& id) = 0;
};

class DenialRows {
 public:
  virtual ~DenialRows() = default;
  virtual Status Put(const Denial& denial) = 0;  // by id
  virtual Status Remove(const std::string& id) = 0;
};

class Transaction {
 public:
  virtual ~Transaction() = default;
  // The revision this transaction's changes carry.
  virtual Revision revision() const = 0;
  virtual EntryRows& entries() = 0;
  virtual NodeRows& nodes() = 0;
  virtual TokenRows& tokens() = 0;
  virtual BundleRows& bundles() = 0;
  virtual AuthorityRows& authorities() = 0;
  virtual FederationRows& federation() = 0;
  virtual DenialRows& denials() = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  // `work` may be called on another thread, at most once. An error from it undoes the transaction
  // and is answered. Answers the revision that is now durable. From within `work` only
  // AppendRecords() of this store may be called.
  virtual Result<Revision> Commit(const std::function<Status(Transaction&)>& work) = 0;
  // Durable when it returns; takes no revision. Called from within a Commit()'s `work` (on its
  // thread) the records join that transaction and become durable, or are undone, with it. Fails
  // with RESOURCE_EXHAUSTED when too many callers wait.
  virtual Status AppendRecords(const std::vector<AuditRecord>& records) = 0;
  // The same without waiting: `told` hears once how it ended, possibly before this returns, on
  // whichever thread found out: it must neither wait nor compute. Not from within a Commit()'s
  // `work`.
  virtual void SubmitRecords(std::vector<AuditRecord> records,
                             std::function<void(Status)> told) = 0;

  virtual Result<Revision> LoadRevision() = 0;
  virtual Result<std::vector<Entry>> LoadEntries() = 0;
  virtual Result<std::vector<Node>> LoadNodes() = 0;
  virtual Result<std::vector<Bundle>> LoadBundles() = 0;
  virtual Result<std::vector<AuthorityRecord>> LoadAuthorities() = 0;
  virtual Result<std::vector<FederationRelationship>> LoadRelationships() = 0;

  // The log, in order unless the filter says otherwise.
  virtual Result<std::vector<LoggedRecord>> LoadLog(const LogFilter& filter) = 0;
  // Of each holder and identity the newest SVID that ends after `now` (Unix seconds); of JWT-SVIDs
  // every one. Reads the whole log.
  virtual Result<std::vector<CurrentSvid>> LoadCurrentSvids(std::int64_t now) = 0;
  // The last record's place, or the base when none is left.
  virtual Result<LogHead> LoadLogHead() = 0;
  // What the first record kept follows: the place of the last one pruned, or zero.
  virtual Result<LogHead> LoadLogBase() = 0;
  // Removes the records up to and with `seq` and makes its place the base. Nothing when it is the
  // base or before; kLogPruneRefused when it is not older than the newest checkpoint.
  virtual Status PruneLog(std::uint64_t seq) = 0;
  virtual Status PutCheckpoint(const LogCheckpoint& checkpoint) = 0;
  // Newest first.
  virtual Result<std::vector<LogCheckpoint>> LoadCheckpoints(std::size_t limit) = 0;
  virtual Result<std::vector<Denial>> LoadDenials() = 0;  // by id
  // Of the workloads' X.509-SVIDs that this caller asked for, those that end after `now`, at most
  // `limit`, those that end last first.
  virtual Result<std::vector<LiveSerial>> LoadLiveSerials(const std::string& requested_by,
                                                          std::int64_t now, std::size_t limit) = 0;
};

}  // namespace signet::identity
