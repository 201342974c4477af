#include "agent/files/files_keeper.h"

#include <algorithm>
#include <utility>

namespace signet::agent {
namespace {

constexpr BackoffPolicy kBackoff{std::chrono::seconds(1), std::chrono::minutes(1)};

}  // namespace

FilesKeeper::FilesKeeper(FilesParts parts, std::vector<FileSetOptions> sets, Actor act)
    : parts_(std::move(parts)),
      written_(parts_.metrics.Counter("signet_agent_files_written_total",
                                      "Files written for programs that know no SPIFFE")),
      failed_(
          parts_.metrics.Counter("signet_agent_file_failures_total",
                                 "Times files could not be written, or their reader not told")) {
  for (FileSetOptions& options : sets)
    sets_.push_back(Set{std::move(options), files::FileSetWriter(act), {}, {}, 0, {}, {}});
}

FilesKeeper::~FilesKeeper() { Stop(); }

void FilesKeeper::Start() {
  if (!sets_.empty()) thread_ = std::thread([this] { Loop(); });
}

void FilesKeeper::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FilesKeeper::Wake() {
  {
    const std::lock_guard lock(mutex_);
    awake_ = true;
  }
  changed_.notify_one();
}

std::vector<std::string> FilesKeeper::Problems() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> problems;
  for (const Set& set : sets_)
    if (!set.problem.empty()) problems.push_back(set.problem);
  return problems;
}

void FilesKeeper::SetProblem(Set* set, std::string problem) {
  const std::lock_guard lock(mutex_);
  set->problem = std::move(problem);
}

std::optional<Duration> FilesKeeper::RunOnce() {
  const SnapshotPtr snapshot = parts_.cache.Current();
  std::optional<Duration> soonest;
  for (Set& set : sets_) {
    const SteadyTime now = parts_.clock.SteadyNow();
    if (set.failures == 0 || set.retry_at <= now) Visit(&set, *snapshot);
    if (set.failures == 0) continue;
    const Duration wait = std::max(set.retry_at - parts_.clock.SteadyNow(), Duration::zero());
    soonest = soonest ? std::min(*soonest, wait) : wait;
  }
  return soonest;
}

void FilesKeeper::TakeInterest(Set* set, const FilePlan& plan) {
  if (plan.entry == set->entry) return;
  set->entry = plan.entry;
  set->interest = plan.entry ? parts_.interest.Add(plan.entry->selectors) : Interest::Handle();
}

void FilesKeeper::Visit(Set* set, const Snapshot& snapshot) {
  const FilePlan plan = PlanFiles(snapshot, set->options, parts_.clock.Now());
  TakeInterest(set, plan);
  if (plan.missing.empty()) return Settle(set, Bring(set, plan));
  if (plan.entry) parts_.want({plan.entry->id});
  SetProblem(set, "files of " + set->options.spiffe_id.ToString() +
                      " are not kept up to date: " + plan.missing);
}

Status FilesKeeper::Bring(Set* set, const FilePlan& plan) {
  return set->writer.Bring(
      plan.files, set->options.files.action, [&](const files::PlannedFile& file) {
        written_.Add();
        parts_.log.Info("file written",
                        {{"path", file.path}, {"spiffe_id", set->options.spiffe_id.ToString()}});
      });
}

void FilesKeeper::Settle(Set* set, const Status& done) {
  if (done) {
    set->failures = 0;
    return SetProblem(set, {});
  }
  failed_.Add();
  set->retry_at = parts_.clock.SteadyNow() + kBackoff.first +
                  DrawBackoff(set->failures++, kBackoff, parts_.random);
  const std::string why = done.error().Message();
  parts_.log.Error("files are not as they should be; trying again",
                   {{"spiffe_id", set->options.spiffe_id.ToString()}, {"error", why}});
  SetProblem(set, "files of " + set->options.spiffe_id.ToString() + ": " + why);
}

void FilesKeeper::Loop() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      awake_ = false;
      if (stopping_) return;
    }
    const std::optional<Duration> nap = RunOnce();
    std::unique_lock lock(mutex_);
    const auto news = [&] { return awake_ || stopping_; };
    if (nap) {
      changed_.wait_for(lock, *nap, news);
    } else {
      changed_.wait(lock, news);
    }
  }
}

}  // namespace signet::agent
