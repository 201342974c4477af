#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "base/account.h"
#include "base/backoff.h"
#include "base/config.h"
#include "base/file.h"
#include "tools/ctl/svid_commands.h"
#include "tools/ctl/workload_client.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::string_view kDoing = "svid files";
constexpr Reason kNoSuchSvid{"not among this process's SVIDs"};
constexpr Reason kOptionsUnusable{"options that do not go together"};
constexpr BackoffPolicy kBackoff{std::chrono::seconds(1), std::chrono::minutes(1)};
constexpr auto kLeastPause = std::chrono::milliseconds(250);

Error ErrorOf(const grpc::Status& status) {
  return {static_cast<Code>(status.error_code()), Reason{"the agent gives no SVID"},
          status.error_message()};
}

void Warn(const Error& error) {
  std::fputs(fmt::format("signet: {}: {}; trying again\n", kDoing, error.Message()).c_str(),
             stderr);
}

// Writes what an answer of the agent holds.
class Keeper {
 public:
  Keeper(const Session& session, const SvidFilesOptions& options, files::FileSet set)
      : session_(session), options_(options), set_(std::move(set)), writer_(files::RunAction) {}

  Status Take(const X509SVIDResponse& response) {
    SIGNET_TRY(auto svids, ReadX509Response(response));
    SIGNET_TRY(const Svid svid, ChooseSvid(std::move(svids), options_.spiffe_id, options_.hint));
    std::vector<ca::Certificate> roots = svid.bundle;
    if (options_.federated) roots.insert(roots.end(), svid.federated.begin(), svid.federated.end());
    std::vector<std::string> written;
    const Status done =
        writer_.Bring(files::PlanFiles(set_, {svid.chain, svid.key, roots}), set_.action,
                      [&](const files::PlannedFile& file) { written.push_back(file.path); });
    if (!written.empty() || !options_.watch) Tell(svid, written);
    return done;
  }

 private:
  void Tell(const Svid& svid, const std::vector<std::string>& written) const {
    const ca::Certificate& leaf = svid.chain.front();
    const std::int64_t end = UnixSeconds(leaf.not_after());
    if (session_.format == Format::kJson) {
      const Json event{{"spiffe_id", svid.id},
                       {"serial", leaf.SerialHex()},
                       {"not_after", end},
                       {"written", written}};
      Print(event.dump(options_.watch ? -1 : 2) + "\n");
    } else {
      for (const std::string& path : written) Print("written: " + path + "\n");
      Print(fmt::format("{}, valid until {} ({})\n", svid.id, FormatTime(leaf.not_after()),
                        Relative(end, UnixSeconds(session_.clock->Now()))));
    }
    std::fflush(stdout);
  }

  const Session& session_;
  const SvidFilesOptions& options_;
  const files::FileSet set_;
  files::FileSetWriter writer_;
};

// The latest the agent said, from the thread that reads to the one that writes.
class Mailbox {
 public:
  void Put(Result<X509SVIDResponse> news) {
    {
      const std::lock_guard lock(mutex_);
      news_ = std::move(news);
    }
    changed_.notify_one();
  }
  // Absent: nothing new within `most`.
  std::optional<Result<X509SVIDResponse>> Take(std::optional<Duration> most) {
    std::unique_lock lock(mutex_);
    const auto is_there = [&] { return news_.has_value(); };
    if (most) {
      changed_.wait_for(lock, *most, is_there);
    } else {
      changed_.wait(lock, is_there);
    }
    return std::exchange(news_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Result<X509SVIDResponse>> news_;
};

// One stream to its end. `heard`: it gave something.
Error ReadStream(const SvidFilesOptions& options, Mailbox* mailbox, bool* heard) {
  auto client = WorkloadClient::Open(options.agent_socket, options.timeout);
  if (!client) return client.error();
  const auto context = client->NewStream();
  const auto stream = client->stub().FetchX509SVID(context.get(), {});
  X509SVIDResponse response;
  while (stream->Read(&response)) {
    *heard = true;
    mailbox->Put(std::move(response));
    response = {};
  }
  return ErrorOf(stream->Finish());
}

// For ever: what does not work now may work later, but for what no time mends.
void ReadForEver(const SvidFilesOptions& options, Mailbox* mailbox) {
  OsRandom random;
  for (unsigned failures = 0;; ++failures) {
    bool heard = false;
    Error error = ReadStream(options, mailbox, &heard);
    const bool hopeless = error.code == Code::kInvalidArgument;
    mailbox->Put(tl::unexpected(std::move(error)));
    if (hopeless) return;
    if (heard) failures = 0;
    std::this_thread::sleep_for(kLeastPause + DrawBackoff(failures, kBackoff, random));
  }
}

// Until the process is ended, or asks for what cannot be.
int Watch(const SvidFilesOptions& options, Keeper* keeper) {
  Mailbox mailbox;
  std::jthread reader([&] { ReadForEver(options, &mailbox); });
  OsRandom random;
  X509SVIDResponse held;
  unsigned failures = 0;
  std::optional<Duration> retry;
  std::string told;  // a trouble that lasts is told once
  const auto tell = [&](const Error& error) {
    if (told != error.Message()) Warn(error);
    told = error.Message();
  };
  while (true) {
    auto news = mailbox.Take(retry);
    if (news && !*news) {
      if (news->error().code == Code::kInvalidArgument) return ReportError(news->error(), kDoing);
      tell(news->error());
      continue;
    }
    if (news) held = *std::move(*news);
    const Status done = keeper->Take(held);
    if (done) {
      failures = 0;
      retry.reset();
      told.clear();
      continue;
    }
    tell(done.error());
    retry = kBackoff.first + DrawBackoff(failures++, kBackoff, random);
  }
}

int Once(const SvidFilesOptions& options, Keeper* keeper) {
  auto client = WorkloadClient::Open(options.agent_socket, options.timeout);
  if (!client) return ReportError(client.error(), kDoing);
  const auto context = client->NewCall();
  const auto stream = client->stub().FetchX509SVID(context.get(), {});
  X509SVIDResponse response;
  if (!stream->Read(&response)) return ReportWorkloadStatus(stream->Finish(), kDoing);
  context->TryCancel();
  (void)stream->Finish();
  const Status done = keeper->Take(response);
  return done ? static_cast<int>(kOk) : ReportError(done.error(), kDoing);
}

tl::unexpected<Error> Unusable(std::string why) {
  return Fail(Code::kInvalidArgument, kOptionsUnusable, std::move(why));
}

Result<files::RenewalAction> ReadAction(const SvidFilesOptions& options) {
  files::RenewalAction action;
  action.command = options.command;
  action.pid_file = options.pid_file;
  if (options.signal.empty() != options.pid_file.empty())
    return Unusable("--signal and --pid-file belong together: what is sent, and to whom");
  if (!options.signal.empty()) {
    SIGNET_TRY(action.signal, files::ParseSignal(options.signal));
  }
  const auto timeout = ParseDuration(options.command_timeout);
  if (!timeout || *timeout < std::chrono::seconds(1))
    return Unusable("--command-timeout is no duration of 1s or more, such as 30s");
  action.timeout = *timeout;
  SIGNET_RETURN_IF_ERROR(files::CheckAction(action));
  return action;
}

}  // namespace

Result<files::FileSet> ReadFileSet(const SvidFilesOptions& options) {
  files::FileSet set;
  set.certificate = options.certificate;
  set.key = options.key;
  set.combined = options.combined;
  set.bundle = options.bundle;
  const auto paths = set.Paths();
  if (paths.empty())
    return Unusable("no file is asked for: --certificate, --key, --combined or --bundle");
  if (std::set<std::string>(paths.begin(), paths.end()).size() != paths.size())
    return Unusable("two files have the same path");
  SIGNET_TRY(set.open.mode, ParseFileMode(options.mode));
  SIGNET_TRY(set.secret.mode, ParseFileMode(options.key_mode));
  if (set.IsKeyForEverybody())
    return Unusable("--key-mode: everybody could read the key; 0600, or 0640 with --group");
  if (!options.owner.empty()) {
    SIGNET_TRY(set.open.owner, FindAccount(options.owner, AccountKind::kUser));
  }
  if (!options.group.empty()) {
    SIGNET_TRY(set.open.group, FindAccount(options.group, AccountKind::kGroup));
  }
  set.secret.owner = set.open.owner;
  set.secret.group = set.open.group;
  SIGNET_TRY(set.action, ReadAction(options));
  return set;
}

Result<Svid> ChooseSvid(std::vector<Svid> svids, const std::string& spiffe_id,
                        const std::string& hint) {
  const auto fits = [&](const Svid& svid) {
    return (spiffe_id.empty() || svid.id == spiffe_id) && (hint.empty() || svid.hint == hint);
  };
  const auto found = std::ranges::find_if(svids, fits);
  if (found != svids.end()) return std::move(*found);
  std::string given;
  for (const Svid& svid : svids) given += (given.empty() ? "" : ", ") + svid.id;
  return Fail(Code::kNotFound, kNoSuchSvid,
              fmt::format("{}{}{}; the agent gives it {}", spiffe_id,
                          hint.empty() ? "" : " with hint ", hint, given));
}

int WriteSvidFiles(const Session& session, const SvidFilesOptions& options) {
  auto set = ReadFileSet(options);
  if (!set) return ReportError(set.error(), kDoing);
  for (const std::string& path : set->Paths()) RemoveLeftovers(path);
  Keeper keeper(session, options, *std::move(set));
  return options.watch ? Watch(options, &keeper) : Once(options, &keeper);
}

}  // namespace signet::ctl
