#include "identity/store/sqlite/writer.h"

#include <optional>
#include <utility>

namespace signet::identity {

SqliteWriter::SqliteWriter(std::unique_ptr<Connection> connection, std::size_t queue_limit,
                           const Logger& log)
    : connection_(std::move(connection)),
      queue_limit_(queue_limit),
      log_(log),
      thread_([this] { Loop(); }) {}

SqliteWriter::~SqliteWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_all();
  thread_.join();
}

Status SqliteWriter::Run(const std::function<Status(Connection&)>& work) {
  // One waiter each: whoever is told does not queue for a lock with the others.
  struct {
    std::mutex mutex;
    std::condition_variable told;
    std::optional<Status> outcome;
  } waiting;
  Submit([&work](Connection& connection) { return work(connection); },
         [&](Status outcome) {
           const std::lock_guard lock(waiting.mutex);  // `waiting` dies as soon as it is told
           waiting.outcome = std::move(outcome);
           waiting.told.notify_one();
         });
  std::unique_lock lock(waiting.mutex);
  waiting.told.wait(lock, [&] { return waiting.outcome.has_value(); });
  return *std::move(waiting.outcome);
}

void SqliteWriter::Submit(std::function<Status(Connection&)> work,
                          std::function<void(Status)> told) {
  Job job{.work = std::move(work), .told = std::move(told)};
  if (Status taken = Enqueue(job); !taken) job.told(std::move(taken));
}

Status SqliteWriter::Enqueue(Job& job) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    SIGNET_RETURN_IF_ERROR(writable_);
    if (queue_.size() >= queue_limit_) return Fail(Code::kResourceExhausted, kStoreBusy);
    is_first = queue_.empty();
    queue_.push_back(std::move(job));
  }
  // The writer looks again before it waits, so only the first of a group has to wake it.
  if (is_first) arrived_.notify_one();
  return {};
}

Status SqliteWriter::CheckWritable() const {
  const std::lock_guard lock(mutex_);
  return writable_;
}

void SqliteWriter::Loop() {
  while (true) {
    std::vector<Job> group;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
    }
    // Whoever is about to add to the group gets the processor first: fewer commits when it is busy,
    // and nothing lost when it is idle.
    std::this_thread::yield();
    {
      const std::lock_guard lock(mutex_);
      group.swap(queue_);
    }
    RunGroup(group);
    for (Job& job : group) job.told(std::move(job.outcome));
  }
}

void SqliteWriter::RunGroup(std::vector<Job>& group) {
  Status committed = RunJobs(group);
  if (committed) committed = connection_->Execute("COMMIT");
  if (committed) {
    if (std::exchange(failing_, false)) log_.Info("the database accepts changes again");
    return;
  }
  if (connection_->InTransaction()) static_cast<void>(connection_->Execute("ROLLBACK"));
  if (committed.error().reason == kStoreSyncFailed) {
    const std::lock_guard lock(mutex_);
    writable_ = Fail(Code::kUnavailable, kStoreSyncFailed,
                     committed.error().detail +
                         "; look after the disk, then start the server again: until then nothing "
                         "is signed or changed");
    committed = writable_;
  }
  if (!std::exchange(failing_, true)) {
    log_.Error("changes could not be made durable; they were refused",
               {{"error", committed.error().Message()}});
  }
  for (Job& job : group) {
    if (job.outcome) job.outcome = Fail(committed.error());
  }
}

Status SqliteWriter::RunJobs(std::vector<Job>& group) {
  SIGNET_RETURN_IF_ERROR(CheckWritable());
  SIGNET_RETURN_IF_ERROR(connection_->Execute("BEGIN IMMEDIATE"));
  for (Job& job : group) SIGNET_RETURN_IF_ERROR(RunInSavepoint(job));
  return {};
}

// The answer is about the transaction as a whole; the job's own is in its outcome.
Status SqliteWriter::RunInSavepoint(Job& job) {
  SIGNET_RETURN_IF_ERROR(connection_->Use("SAVEPOINT job").Run());
  job.outcome = job.work(*connection_);
  if (!connection_->InTransaction()) {
    // Some errors (a full disk among them) make SQLite undo the whole transaction.
    return job.outcome ? Fail(Code::kUnavailable, kStoreUnavailable, "the transaction was undone")
                       : Fail(job.outcome.error());
  }
  if (!job.outcome) SIGNET_RETURN_IF_ERROR(connection_->Use("ROLLBACK TO job").Run());
  return connection_->Use("RELEASE job").Run();
}

}  // namespace signet::identity
