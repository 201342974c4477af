#include "agent/files/files_keeper.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/file.h"

namespace signet::agent {
namespace {

constexpr std::size_t kLargestFile = std::size_t{1} << 20;
constexpr BackoffPolicy kBackoff{std::chrono::seconds(1), std::chrono::minutes(1)};

// Whether the file is as planned, content and access.
bool IsThere(const PlannedFile& file) {
  struct stat found{};
  if (lstat(file.path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  const FileAccess& access = file.access;
  if ((found.st_mode & 07777) != access.mode ||
      (access.owner >= 0 && found.st_uid != static_cast<uid_t>(access.owner)) ||
      (access.group >= 0 && found.st_gid != static_cast<gid_t>(access.group)))
    return false;
  auto content = ReadFile(file.path, kLargestFile);
  if (!content) return false;
  const bool equal = Equal(*content, file.content.view());
  WipeBytes(*content);
  return equal;
}

}  // namespace

FilesKeeper::FilesKeeper(FilesParts parts, std::vector<FileSetOptions> sets, Actor act)
    : parts_(std::move(parts)),
      act_(std::move(act)),
      written_(parts_.metrics.Counter("signet_agent_files_written_total",
                                      "Files written for programs that know no SPIFFE")),
      failed_(parts_.metrics.Counter("signet_agent_file_failures_total",
                                     "Times files could not be written, or their reader not told")),
      sets_(sets.size()) {
  for (std::size_t i = 0; i < sets.size(); ++i) sets_[i].options = std::move(sets[i]);
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
  for (const PlannedFile& file : plan.files) {
    if (IsThere(file)) continue;
    set->told = false;
    SIGNET_RETURN_IF_ERROR(WriteOwnedFileAtomically(file.path, file.content.view(), file.access));
    written_.Add();
    parts_.log.Info("file written",
                    {{"path", file.path}, {"spiffe_id", set->options.spiffe_id.ToString()}});
  }
  if (!set->told) SIGNET_RETURN_IF_ERROR(act_(set->options.action));
  set->told = true;
  return {};
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
