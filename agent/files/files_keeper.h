// Keeps the files of the configuration's section `files` as the cache is: written when what they
// hold changed, and the program that reads them is told. What fails is tried again, with growing
// pauses, and stands in the agent's health until it works.
//
// Files of an SVID that is gone are left as they are: a program that runs should not find a path
// empty, and the certificate in it says when it ends.
//
// Threads: one of its own between Start() and Stop(); everything public is safe from any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/cache/cache.h"
#include "agent/cache/interest.h"
#include "agent/files/file_content.h"
#include "agent/files/file_options.h"
#include "base/backoff.h"
#include "base/log.h"
#include "base/metrics.h"

namespace signet::agent {

// All of it outlives the keeper.
struct FilesParts {
  const Cache& cache;
  std::function<void(const std::vector<std::string>&)> want;  // SVIDs of these entries
  Interest& interest;
  const Clock& clock;
  Random& random;
  const Logger& log;
  Metrics& metrics;
};

class FilesKeeper {
 public:
  using Actor = files::FileSetWriter::Actor;

  FilesKeeper(FilesParts parts, std::vector<FileSetOptions> sets, Actor act);
  ~FilesKeeper();

  // Does nothing when there are no files to keep.
  void Start();
  void Stop();
  // The cache changed.
  void Wake();
  // What is not as it should be, a sentence each.
  std::vector<std::string> Problems() const;

  // One round over all sets. Answers how long there is nothing to do unless the cache changes.
  // Called by the thread; public for tests.
  std::optional<Duration> RunOnce();

 private:
  struct Set {
    FileSetOptions options;
    files::FileSetWriter writer;
    Interest::Handle interest;  // its SVID is in use
    EntryPtr entry;             // that `interest` is of
    unsigned failures = 0;
    SteadyTime retry_at{};
    std::string problem;  // guarded by mutex_
  };
  void Visit(Set* set, const Snapshot& snapshot);
  Status Bring(Set* set, const FilePlan& plan);
  void TakeInterest(Set* set, const FilePlan& plan);
  void Settle(Set* set, const Status& done);
  void SetProblem(Set* set, std::string problem);
  void Loop();

  const FilesParts parts_;
  Counter& written_;
  Counter& failed_;
  std::vector<Set> sets_;  // of the thread, but for the problems
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool awake_ = true;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
