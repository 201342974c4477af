// A Store in memory with the semantics of the real ones: transactions are whole or nothing,
// revisions count commits, listings come in order of creation. It can be told to fail. What a
// Reopen()ed one holds is what was committed.
//
// Threads: safe from any thread; transactions run one at a time on the caller's thread.
#pragma once

#include <memory>
#include <optional>

#include "identity/store/store.h"

namespace signet::test {

class FakeStore final : public identity::Store {
 public:
  FakeStore();
  ~FakeStore() override;

  Result<identity::Revision> Commit(
      const std::function<Status(identity::Transaction&)>& work) override;
  Status AppendRecords(const std::vector<identity::AuditRecord>& records) override;
  void SubmitRecords(std::vector<identity::AuditRecord> records,
                     std::function<void(Status)> told) override {
    told(AppendRecords(records));
  }
  Result<identity::Revision> LoadRevision() override;
  Result<std::vector<identity::Entry>> LoadEntries() override;
  Result<std::vector<identity::Node>> LoadNodes() override;
  Result<std::vector<identity::Bundle>> LoadBundles() override;
  Result<std::vector<identity::AuthorityRecord>> LoadAuthorities() override;
  Result<std::vector<identity::FederationRelationship>> LoadRelationships() override;
  Result<std::vector<identity::LoggedRecord>> LoadLog(const identity::LogFilter& filter) override;
  Result<std::vector<identity::CurrentSvid>> LoadCurrentSvids(std::int64_t now) override;
  Result<identity::LogHead> LoadLogHead() override;
  Result<identity::LogHead> LoadLogBase() override;
  Status PruneLog(std::uint64_t seq) override;
  Status PutCheckpoint(const identity::LogCheckpoint& checkpoint) override;
  Result<std::vector<identity::LogCheckpoint>> LoadCheckpoints(std::size_t limit) override;
  Result<std::vector<identity::Denial>> LoadDenials() override;
  Result<std::vector<identity::LiveSerial>> LoadLiveSerials(const std::string& requested_by,
                                                            std::int64_t now,
                                                            std::size_t limit) override;

  // The next Commit() runs its work, then fails with `error` and changes nothing.
  void FailNextCommit(Error error);
  // The next AppendRecords() fails with `error` and records nothing.
  void FailNextAppend(Error error);
  // Every call fails with `error` until Heal().
  void Break(Error error);
  void Heal();

  // How many Commit() calls succeeded, and how many AppendRecords().
  std::size_t commits() const;
  std::size_t appends() const;

  // A second store over the same content, as after a restart; the first one must be idle.
  std::unique_ptr<FakeStore> Reopen();

 private:
  struct Content;
  struct State;
  class FakeTransaction;
  explicit FakeStore(std::shared_ptr<Content> content);
  std::unique_ptr<State> state_;
};

}  // namespace signet::test
