#include "agent/cache/minter.h"

#include <fmt/format.h>

#include "ca/x509/request.h"

namespace signet::agent {
namespace {

// The wall clock may be set while we wait: never trust a plan for longer than this.
constexpr Duration kLongestNap = std::chrono::seconds(5);
// What nobody waits for is gathered for a moment, so that it goes in fewer, larger calls.
constexpr Duration kGatherTime = std::chrono::milliseconds(20);
constexpr Duration kShortestNap = std::chrono::milliseconds(250);
// Of those that mint anything: one makes keys and checks while the other waits for the server.
constexpr int kAnyLanes = 2;

identity::BundleMap OwnBundle(const Snapshot& snapshot) {
  identity::BundleMap bundles;
  if (const BundlePtr own = snapshot.FindBundle(snapshot.trust_domain))
    bundles.emplace(snapshot.trust_domain, own->bundle);
  return bundles;
}

}  // namespace

Minter::Minter(const MinterParts& parts, const MintOptions& options)
    : cache_(parts.cache),
      issuer_(parts.issuer),
      clock_(parts.clock),
      random_(parts.random),
      log_(parts.log),
      key_type_(options.key_type),
      minted_(parts.metrics.Counter("signet_agent_svids_minted_total",
                                    "X.509-SVIDs received and taken on")),
      failed_(parts.metrics.Counter("signet_agent_svid_mint_failures_total",
                                    "X.509-SVIDs asked for and not received, or refused")),
      schedule_(parts.clock, parts.random, options,
                [&interest = parts.interest, &clock = parts.clock](const EntrySet& entries) {
                  return interest.InUse(entries, clock.Now());
                }) {
  ExportMetrics(parts.metrics);
}

Minter::~Minter() { Stop(); }

void Minter::ExportMetrics(Metrics& metrics) {
  metrics.GaugeFrom("signet_agent_svids_without_room",
                    "Entries without an X.509-SVID because limits.svids is reached",
                    [this] { return static_cast<double>(without_room()); });
  metrics.CounterFrom("signet_agent_svids_refused_total",
                      "Times a workload waited for an X.509-SVID and limits.svids was reached",
                      [this] {
                        const std::lock_guard lock(mutex_);
                        return static_cast<double>(schedule_.refused());
                      });
}

std::size_t Minter::without_room() const {
  const std::lock_guard lock(mutex_);
  return schedule_.without_room();
}

SvidCounts Minter::Count() const {
  const std::lock_guard lock(mutex_);
  return schedule_.Count();
}

std::vector<SvidStanding> Minter::Standings(std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  return schedule_.Standings(limit);
}

void Minter::Start() {
  threads_.emplace_back([this] { Loop(Lane::kWaiting); });
  for (int i = 0; i < kAnyLanes; ++i) threads_.emplace_back([this] { Loop(Lane::kAny); });
}

void Minter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

void Minter::Wake() {
  {
    const std::lock_guard lock(mutex_);
    ++changes_;
  }
  changed_.notify_all();
}

void Minter::Want(const std::vector<std::string>& ids) {
  const SnapshotPtr snapshot = cache_.Current();
  {
    const std::lock_guard lock(mutex_);
    schedule_.Update(*snapshot);  // they may be entries that came this moment
    schedule_.Want(ids);
    ++wants_;
  }
  changed_.notify_all();
}

void Minter::OnConnected() {
  {
    const std::lock_guard lock(mutex_);
    schedule_.ForgiveFailures();
    ++changes_;
    ++wants_;
  }
  changed_.notify_all();
}

void Minter::Loop(Lane lane) {
  const std::uint64_t& news = lane == Lane::kWaiting ? wants_ : changes_;
  std::uint64_t seen = 0;
  while (true) {
    const Duration nap = RunOnce(lane);
    std::unique_lock lock(mutex_);
    if (nap > Duration::zero()) {
      changed_.wait_for(lock, nap, [&] { return news != seen || stopping_; });
      if (lane == Lane::kAny) changed_.wait_for(lock, kGatherTime, [&] { return stopping_; });
    }
    if (stopping_) return;
    seen = news;
  }
}

Duration Minter::RunOnce(Lane lane) {
  const std::vector<EntryPtr> due = Plan(lane);
  if (!due.empty()) Mint(due);
  const std::lock_guard lock(mutex_);
  if (!issuer_.IsReachable()) return kLongestNap;  // OnConnected() ends it
  const Duration paused = paused_until_ - clock_.SteadyNow();
  if (paused > Duration::zero()) return std::min(paused, kLongestNap);
  const Duration wait = std::min(schedule_.UntilNextDue(lane).value_or(kLongestNap), kLongestNap);
  return lane == Lane::kAny && wait > Duration::zero() ? std::max(wait, kShortestNap) : wait;
}

std::vector<EntryPtr> Minter::Plan(Lane lane) {
  std::vector<EntryPtr> due;
  std::vector<std::string> expired, given_up;
  {
    const std::lock_guard lock(mutex_);
    const SnapshotPtr snapshot = cache_.Current();
    schedule_.Update(*snapshot);
    NoteBundle(*snapshot);
    expired = schedule_.TakeExpired();
    if (issuer_.IsReachable() && paused_until_ <= clock_.SteadyNow())
      due = schedule_.TakeDue(kMintBatch, lane);
    given_up = schedule_.TakeGivenUp();
  }
  if (!expired.empty()) cache_.DropExpired(expired, clock_.Now());
  if (!given_up.empty()) cache_.Drop(given_up);
  return due;
}

void Minter::NoteBundle(const Snapshot& snapshot) {
  BundlePtr own = snapshot.FindBundle(snapshot.trust_domain);
  if (own == bundle_) return;
  bundle_ = std::move(own);
  if (!bundle_) return;
  std::set<Bytes> tainted, trusted;
  for (const identity::X509BundleAuthority& authority : bundle_->bundle.x509_authorities)
    (authority.tainted ? tainted : trusted).insert(authority.certificate.subject_key_id());
  schedule_.Distrust(tainted, trusted);
}

void Minter::Mint(const std::vector<EntryPtr>& due) {
  std::vector<Job> jobs;
  std::vector<MintRequest> requests;
  const SnapshotPtr before = cache_.Current();
  const WallTime now = clock_.Now();
  for (const EntryPtr& entry : due) {
    if (before->IsDenied(entry->spiffe_id, now)) {  // tried again, with growing pauses
      const std::lock_guard lock(mutex_);
      schedule_.Failed(entry->id);
      continue;
    }
    auto key = ca::PrivateKey::Generate(key_type_);
    auto request = key ? ca::MakeRequest(*key) : Result<Bytes>(Fail(key.error()));
    if (!request) {
      log_.Error("cannot make a key for a workload",
                 {{"entry", entry->id}, {"error", request.error().Message()}});
      const std::lock_guard lock(mutex_);
      schedule_.Failed(entry->id);
      continue;
    }
    const HeldEntry* const held = before->entries.Find(entry->id);
    requests.push_back({entry->id, std::move(*request), held != nullptr && held->svid != nullptr});
    jobs.push_back({entry, std::move(*key)});
  }
  if (jobs.empty()) return;
  IssueAnswer answer = issuer_.Issue(requests);
  NotePause(answer.retry_after);
  Report(jobs, Outcomes(jobs, std::move(answer)));
}

void Minter::NotePause(std::optional<Duration> retry_after) {
  if (!retry_after) return;
  const Duration pause = DrawPause(*retry_after, random_);
  log_.Warn("the server asks for a pause before more SVIDs are minted",
            {{"asked", FormatDuration(*retry_after)}, {"pause", FormatDuration(pause)}});
  const std::lock_guard lock(mutex_);
  paused_until_ = std::max(paused_until_, clock_.SteadyNow() + pause);
}

std::vector<Result<SvidPtr>> Minter::Outcomes(const std::vector<Job>& jobs, IssueAnswer answer) {
  const SnapshotPtr snapshot = cache_.Current();
  std::vector<Result<SvidPtr>> outcomes;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!answer.results) {
      outcomes.push_back(Fail(answer.results.error()));
    } else if (i >= answer.results->size()) {
      outcomes.push_back(Fail(Code::kInternal, kMintedWrong, "no result"));
    } else if (auto& chain = (*answer.results)[i]; !chain) {
      outcomes.push_back(Fail(chain.error()));
    } else {
      outcomes.push_back(CheckMinted(jobs[i], std::move(*chain), *snapshot));
    }
  }
  return outcomes;
}

Result<SvidPtr> Minter::CheckMinted(const Job& job, ca::Chain chain,
                                    const Snapshot& snapshot) const {
  SIGNET_TRY(const auto verified,
             identity::VerifyX509Svid(chain, OwnBundle(snapshot), clock_.Now()));
  if (verified.id != job.entry->spiffe_id)
    return Fail(Code::kInternal, kMintedWrong,
                fmt::format("asked for {}, got {}", job.entry->spiffe_id.ToString(),
                            verified.id.ToString()));
  if (!(chain.front().public_key() == job.key.public_key()))
    return Fail(Code::kInternal, kMintedWrong, "the certificate is over another key");
  auto svid = std::make_shared<IssuedSvid>();
  const ca::Certificate& leaf = chain.front();
  svid->id = verified.id;
  svid->leaf_der = ToBytes(leaf.der());
  svid->issuers = issuers_.Of(chain);
  svid->key = job.key.ToPkcs8();
  svid->not_before = leaf.not_before();
  svid->not_after = leaf.not_after();
  svid->fingerprint = leaf.fingerprint();
  svid->entry_revision = job.entry->revision_number;
  svid->entry_created_at = job.entry->created_at;
  return SvidPtr(std::move(svid));
}

void Minter::Report(const std::vector<Job>& jobs, std::vector<Result<SvidPtr>> outcomes) {
  SvidList fresh;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const AuthorizedEntry& entry = *jobs[i].entry;
      if (outcomes[i]) {
        schedule_.Succeeded(entry, **outcomes[i]);
        fresh.emplace_back(entry.id, std::move(*outcomes[i]));
      } else {
        schedule_.Failed(entry.id);
      }
    }
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (outcomes[i]) continue;
    failed_.Add();
    const Error& error = outcomes[i].error();
    if (error.reason == kServerAway) continue;  // the connection says so, once
    log_.Warn("no SVID minted", {{"entry", jobs[i].entry->id},
                                 {"spiffe_id", jobs[i].entry->spiffe_id.ToString()},
                                 {"error", error.Message()}});
  }
  minted_.Add(static_cast<double>(fresh.size()));
  cache_.Install(fresh);
}

}  // namespace signet::agent
