#include "agent/sync/cache_store.h"

#include <algorithm>

#include "agent/sync/codec.h"
#include "identity/svid/x509_svid.h"
#include "signet/sync/v1/sync.pb.h"
#include "spiffe/workload.pb.h"

namespace signet::agent {
namespace {

namespace sync_api = signet::sync::v1;

constexpr std::string_view kFormat = "signet-agent-cache-1";
// Changes that follow one another closely are written once, and writing takes at most about a tenth
// of the time, however large the cache is.
constexpr Duration kGatherTime = std::chrono::milliseconds(50);
constexpr int kRestPerWork = 10;

SecretBytes Encode(const Snapshot& snapshot, const identity::SpiffeId& agent) {
  sync_api::Batch batch;
  batch.set_revision(snapshot.revision);
  RecordWriter record;
  record.Add(kFormat);
  record.Add(agent.ToString());
  for (const EntryPtr& entry : snapshot.entries->entries())
    *batch.add_upserts() = FromEntry(*entry);
  for (const auto& [name, bundle] : snapshot.bundles)
    *batch.add_bundles() = FromBundle(bundle->bundle);
  record.Add(batch.SerializeAsString());
  for (std::size_t position = 0; position < snapshot.svids.size(); ++position) {
    const SvidPtr& svid = snapshot.svids[position];
    if (!svid) continue;
    record.Add(snapshot.entries->entries()[position]->id);
    record.Add(std::to_string(svid->entry_revision));
    record.Add(std::to_string(svid->entry_created_at));
    record.Add(svid->chain_der);
    record.Add(svid->key.view());
  }
  return record.Finish();
}

Result<Delta> DecodeBatch(ByteView bytes) {
  sync_api::Batch batch;
  if (!batch.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Fail(Code::kDataLoss, kRecordMalformed, "entries");
  Delta delta;
  delta.full = true;
  delta.revision = batch.revision();
  for (const auto& message : batch.upserts()) {
    SIGNET_TRY(auto entry, ToEntry(message));
    delta.upserts.push_back(std::move(entry));
  }
  for (const auto& message : batch.bundles()) {
    SIGNET_TRY(auto bundle, ToBundle(message));
    delta.bundles.push_back(std::move(bundle));
  }
  return delta;
}

Result<std::pair<std::string, SvidPtr>> DecodeSvid(RecordReader* record) {
  SIGNET_TRY(const ByteView id, record->Next());
  SIGNET_TRY(const ByteView revision, record->Next());
  SIGNET_TRY(const ByteView created_at, record->Next());
  SIGNET_TRY(const ByteView chain, record->Next());
  SIGNET_TRY(const ByteView key, record->Next());
  auto svid = std::make_shared<IssuedSvid>();
  SIGNET_TRY(svid->chain, ca::ParseConcatenatedDer(chain, ca::kMaxChainLength));
  if (svid->chain.empty())
    return Fail(Code::kDataLoss, kRecordMalformed, "SVID without certificate");
  SIGNET_TRY(svid->id, identity::ParseX509Svid(svid->leaf()));
  svid->chain_der = ToBytes(chain);
  svid->key = SecretBytes(key);
  svid->entry_revision = std::strtoll(ToString(revision).c_str(), nullptr, 10);
  svid->entry_created_at = std::strtoll(ToString(created_at).c_str(), nullptr, 10);
  return std::pair<std::string, SvidPtr>(ToString(id), std::move(svid));
}

}  // namespace

CacheStore::CacheStore(SealedFile file, Cache& cache, const Clock& clock, const Logger& log)
    : file_(std::move(file)), cache_(cache), clock_(clock), log_(log) {}

CacheStore::~CacheStore() { Stop(); }

Status CacheStore::Restore(const identity::SpiffeId& agent) {
  SIGNET_TRY(const auto stored, file_.Load());
  if (!stored) return {};
  RecordReader record(stored->view());
  SIGNET_TRY(const ByteView format, record.Next());
  SIGNET_TRY(const ByteView owner, record.Next());
  if (AsText(format) != kFormat || AsText(owner) != agent.ToString()) return {};
  SIGNET_TRY(const ByteView batch, record.Next());
  SIGNET_TRY(Delta delta, DecodeBatch(batch));
  std::vector<std::pair<std::string, SvidPtr>> svids;
  while (!record.AtEnd()) {
    SIGNET_TRY(auto svid, DecodeSvid(&record));
    if (svid.second->not_after() > clock_.Now()) svids.push_back(std::move(svid));
  }
  log_.Info(
      "serving what was kept",
      {{"revision", delta.revision}, {"entries", delta.upserts.size()}, {"svids", svids.size()}});
  cache_.Restore(std::move(delta), std::move(svids));
  return {};
}

void CacheStore::SetAgent(const identity::SpiffeId& agent) {
  const std::lock_guard lock(mutex_);
  agent_ = agent;
}

void CacheStore::Start(identity::SpiffeId agent) {
  agent_ = std::move(agent);
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

void CacheStore::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (!thread_.joinable()) return;
  thread_.join();
  Save();
}

Status CacheStore::Erase() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  return file_.Erase();
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
  }
}

void CacheStore::Save() {
  SnapshotPtr snapshot = cache_.Current();
  if (snapshot == saved_ || !snapshot->synced) return;
  identity::SpiffeId agent;
  {
    const std::lock_guard lock(mutex_);
    agent = agent_;
  }
  const Status done = file_.Save(Encode(*snapshot, agent));
  if (done) {
    saved_ = std::move(snapshot);
    said_failed_ = false;
    return;
  }
  if (!std::exchange(said_failed_, true))
    log_.Error("what is served could not be kept for a restart",
               {{"error", done.error().Message()}});
  Wake();  // again after the gather time
}

}  // namespace signet::agent
