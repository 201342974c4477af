// Where what is about to be signed is recorded, and the threads on which signing goes on once the
// record is durable: nobody sleeps through a commit.
//
// Threads: safe from any thread. The store and the threads outlive it.
#pragma once

#include <functional>
#include <vector>

#include "identity/api/worker_pool.h"
#include "identity/store/store.h"

namespace signet::identity {

class Journal {
 public:
  Journal(Store& store, WorkerPool& signers) : store_(store), signers_(signers) {}

  // Durable when it returns; fails as Store::AppendRecords().
  Status Append(const std::vector<AuditRecord>& records) const {
    return records.empty() ? Status() : store_.AppendRecords(records);
  }

  // Answers at once; those who are to be answered (the records' actor) get the signers in turn.
  // `then` hears exactly once how it ended, on a signer's thread. When too much waits for these it
  // hears kServerBusy, on whichever thread found out, and must not sign. Without records it is
  // called at once.
  void Append(std::vector<AuditRecord> records, std::function<void(Status)> then) const;

 private:
  Store& store_;
  WorkerPool& signers_;
};

}  // namespace signet::identity
