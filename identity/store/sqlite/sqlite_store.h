// The store in one SQLite file: write-ahead log, synchronous=FULL, one writing thread. Callers that
// wait at the same moment share one COMMIT (one fsync), each in its own savepoint.
//
// Threads: safe from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/log.h"
#include "identity/store/store.h"

namespace signet::identity {

struct SqliteSettings {
  std::chrono::milliseconds busy_timeout{2000};  // wait for other processes' locks
  std::size_t queue_limit = 4096;                // callers waiting for the writer
};

class SqliteStore final : public Store {
 public:
  // Opens or creates (mode 0600) the file, checks it, brings it to this program's schema. Fails,
  // with the file untouched, with kStoreCorrupt, kStoreNewer, kStoreForeign, kStoreFull or
  // kStoreUnavailable.
  static Result<std::unique_ptr<SqliteStore>> Open(const std::string& path,
                                                   const TrustDomain& trust_domain,
                                                   const Logger& log,
                                                   const SqliteSettings& settings = {});
  // Waits until what was accepted is durable.
  ~SqliteStore() override;

  Result<Revision> Commit(const std::function<Status(Transaction&)>& work) override;
  Status AppendRecords(const std::vector<AuditRecord>& records) override;
  void SubmitRecords(std::vector<AuditRecord> records, std::function<void(Status)> told) override;
  Result<Revision> LoadRevision() override;
  Result<std::vector<Entry>> LoadEntries() override;
  Result<std::vector<Node>> LoadNodes() override;
  Result<std::vector<Bundle>> LoadBundles() override;
  Result<std::vector<AuthorityRecord>> LoadAuthorities() override;
  Result<std::vector<FederationRelationship>> LoadRelationships() override;
  Result<std::vector<LoggedRecord>> LoadLog(const LogFilter& filter) override;
  Result<std::vector<CurrentSvid>> LoadCurrentSvids(std::int64_t now) override;
  Result<LogHead> LoadLogHead() override;
  Result<LogHead> LoadLogBase() override;
  Status PruneLog(std::uint64_t seq) override;
  Status PutCheckpoint(const LogCheckpoint& checkpoint) override;
  Result<std::vector<LogCheckpoint>> LoadCheckpoints(std::size_t limit) override;
  Result<std::vector<Denial>> LoadDenials() override;
  Result<std::vector<LiveSerial>> LoadLiveSerials(const std::string& requested_by, std::int64_t now,
                                                  std::size_t limit) override;

  // Not a success once a sync has failed: every change is then refused until a restart.
  Status CheckWritable() const;

 private:
  struct State;
  explicit SqliteStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::identity
