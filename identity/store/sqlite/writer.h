// The one thread that writes: takes waiting pieces of work, runs each in a savepoint of one
// transaction, commits once, and tells each caller how its own ended.
//
// Threads: Run() from any thread. A piece of work runs on the writer's thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"
#include "identity/store/sqlite/connection.h"

namespace signet::identity {

class SqliteWriter {
 public:
  SqliteWriter(std::unique_ptr<Connection> connection, std::size_t queue_limit, const Logger& log);
  // Finishes what was accepted.
  ~SqliteWriter();

  // Answers once `work` is durable or undone. Fails with kStoreBusy (RESOURCE_EXHAUSTED) when the
  // queue is full, with the work's own error, or with the commit's.
  Status Run(const std::function<Status(Connection&)>& work);

  // The same without waiting: `told` hears the answer, on the writer's thread after the group's
  // commit, or at once on the caller's when the work is not taken. It must be quick.
  void Submit(std::function<Status(Connection&)> work, std::function<void(Status)> told);

  // Not a success from the first failed sync on: what the disk holds is no longer known, and a
  // later sync that succeeds says nothing about it. Run() then fails with it at once, until a
  // restart.
  Status CheckWritable() const;

  // Whether the caller is within a piece of work; it may then use connection().
  bool OnWriterThread() const { return std::this_thread::get_id() == thread_.get_id(); }
  Connection& connection() { return *connection_; }

 private:
  struct Job {
    std::function<Status(Connection&)> work;
    std::function<void(Status)> told;
    Status outcome{};
  };
  Status Enqueue(Job& job);
  void Loop();
  void RunGroup(std::vector<Job>& group);
  Status RunJobs(std::vector<Job>& group);
  Status RunInSavepoint(Job& job);

  std::unique_ptr<Connection> connection_;
  const std::size_t queue_limit_;
  const Logger& log_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Job> queue_;
  bool stopping_ = false;
  Status writable_;
  bool failing_ = false;  // the last group failed; said in the log once
  std::thread thread_;
};

}  // namespace signet::identity
