#include "agent/sync/cache_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"

namespace signet::agent {
namespace {

// Changes that follow one another closely are written once, and writing takes at most about a tenth
// of the time, however large the cache is.
constexpr Duration kGatherTime = std::chrono::milliseconds(50);
constexpr int kRestPerWork = 10;
// After a failure, a full disk for instance.
constexpr Duration kRetryTime = std::chrono::seconds(1);

}  // namespace

CacheStore::CacheStore(std::string path, std::shared_ptr<const SecretBytes> kek,
                       const CacheStoreParts& parts)
    : path_(std::move(path)),
      kek_(std::move(kek)),
      cache_(parts.cache),
      node_(parts.node),
      clock_(parts.clock),
      random_(parts.random),
      log_(parts.log),
      writes_(parts.metrics.Counter("signet_agent_cache_writes_total",
                                    "Times the cache was sealed and written to disk")),
      failures_(
          parts.metrics.Counter("signet_agent_cache_write_failures_total", "Times that failed")),
      bytes_(parts.metrics.Gauge("signet_agent_cache_file_bytes",
                                 "Size of the cache file last written or read")) {}

CacheStore::~CacheStore() { Stop(); }

Status CacheStore::CheckLabel(const CacheLabel& label) const {
  const auto identity = node_.identity();
  if (!identity) return Fail(Code::kFailedPrecondition, kCacheForeign, "this node is not attested");
  if (label.agent != identity->id)
    return Fail(Code::kFailedPrecondition, kCacheForeign,
                fmt::format("of {}, this is {}", label.agent.ToString(), identity->id.ToString()));
  const NodeState::CacheBinding binding = node_.cache_binding();
  if (label.generation < binding.generation)
    return Fail(Code::kFailedPrecondition, kCacheOlder,
                fmt::format("generation {}, the last one is {}; was a backup put back?",
                            label.generation, binding.generation));
  if (label.agent_svid != binding.svid && label.agent_svid != binding.svid_before)
    return Fail(Code::kFailedPrecondition, kCacheOlder,
                "it is bound to an agent SVID that is neither the present one nor the one before");
  return {};
}

// The agent's own state is written before the cache: its bundle is never the older one, unless the
// disk failed just then.
void CacheStore::DropUnusable(KeptCache* kept) const {
  const auto own = node_.bundle();
  if (!own) return;
  std::erase_if(kept->delta.bundles, [&](const identity::Bundle& bundle) {
    return bundle.trust_domain == own->trust_domain &&
           bundle.sequence_number <= own->sequence_number;
  });
  const bool has_newer = std::ranges::any_of(kept->delta.bundles, [&](const auto& bundle) {
    return bundle.trust_domain == own->trust_domain;
  });
  if (!has_newer) kept->delta.bundles.push_back(*own);
  const auto trusts = [&](const IssuedSvid& svid) {
    const Bytes& signer = svid.issuers->authority_key_id;
    return signer.empty() ||
           std::ranges::any_of(kept->delta.bundles, [&](const identity::Bundle& bundle) {
             return bundle.trust_domain == own->trust_domain &&
                    std::ranges::any_of(bundle.x509_authorities, [&](const auto& authority) {
                      return authority.certificate.subject_key_id() == signer;
                    });
           });
  };
  std::erase_if(kept->svids, [&](const auto& item) {
    return item.second->not_after <= clock_.Now() || !trusts(*item.second);
  });
}

Result<KeptCache> CacheStore::ReadKept() {
  SIGNET_TRY(KeptCache kept, ReadCacheFile(path_, *kek_, issuers_));
  SIGNET_RETURN_IF_ERROR(CheckLabel(kept.label));
  return kept;
}

Status CacheStore::Restore() {
  generation_ = node_.cache_binding().generation;
  if (!kek_) return {};
  RemoveLeftovers(path_);
  auto kept = ReadKept();
  if (!kept && kept.error().reason == kFileMissing) return {};
  if (!kept) return Fail(kept.error());
  generation_ = kept->label.generation;
  DropUnusable(&*kept);
  log_.Info("serving what was kept", {{"revision", kept->delta.revision},
                                      {"entries", kept->delta.upserts.size()},
                                      {"svids", kept->svids.size()},
                                      {"generation", generation_},
                                      {"written", FormatTime(kept->label.written_at)}});
  cache_.Restore(std::move(kept->delta), kept->svids);
  return {};
}

void CacheStore::Start() {
  if (!kek_) {
    unlink(path_.c_str());
    return;
  }
  saved_ = cache_.Current();
  thread_ = std::thread([this] { Loop(); });
}

void CacheStore::Wake() {
  {
    const std::lock_guard lock(mutex_);
    awake_ = true;
  }
  changed_.notify_one();
}

void CacheStore::OnAgentSvid() {
  {
    const std::lock_guard lock(mutex_);
    rebind_ = awake_ = true;
  }
  changed_.notify_one();
}

void CacheStore::Halt() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void CacheStore::Stop() {
  if (!thread_.joinable()) return;
  Halt();
  Save();
}

Status CacheStore::Erase() {
  Halt();
  if (unlink(path_.c_str()) == 0 || errno == ENOENT) return {};
  return Fail(Code::kInternal, kFileWriteFailed, path_ + ": " + ErrnoText(errno));
}

std::string CacheStore::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void CacheStore::Loop() {
  Duration rest = kGatherTime;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return awake_ || stopping_; });
      if (stopping_) return;
      changed_.wait_for(lock, rest, [&] { return stopping_; });
      if (stopping_) return;
      awake_ = false;
    }
    const SteadyTime begun = clock_.SteadyNow();
    Save();
    rest = std::max<Duration>(kGatherTime, kRestPerWork * (clock_.SteadyNow() - begun));
    if (!problem().empty()) rest = std::max(rest, kRetryTime);
  }
}

void CacheStore::Save() {
  SnapshotPtr snapshot = cache_.Current();
  {
    const std::lock_guard lock(mutex_);
    if ((snapshot == saved_ && !rebind_) || !snapshot->synced) return;
    rebind_ = false;
  }
  const Status done = Write(*snapshot);
  if (done) {
    saved_ = std::move(snapshot);
    writes_.Add();
    const std::lock_guard lock(mutex_);
    if (!problem_.empty()) log_.Info("what is served is kept for a restart again", {});
    problem_.clear();
    return;
  }
  failures_.Add();
  const std::lock_guard lock(mutex_);
  if (problem_.empty())
    log_.Error(
        "what is served could not be kept for a restart; serving goes on, and it is tried again",
        {{"error", done.error().Message()}});
  problem_ = "what is served is not kept for a restart: " + done.error().Message();
  saved_ = nullptr;
  awake_ = true;
}

Status CacheStore::Write(const Snapshot& snapshot) {
  const auto identity = node_.identity();
  if (!identity) return {};  // erased meanwhile
  const CacheLabel label{generation_ + 1, identity->id, node_.cache_binding().svid, clock_.Now()};
  SIGNET_TRY(const std::size_t size, WriteCacheFile(path_, *kek_, label, snapshot, random_));
  bytes_.Set(static_cast<double>(size));
  generation_ = label.generation;
  // From here on no older file is taken. A crash before leaves the new file, which is newer still.
  return node_.SetCacheGeneration(label.generation);
}

}  // namespace signet::agent
