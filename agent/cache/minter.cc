#include "agent/cache/minter.h"

#include <fmt/format.h>

#include "ca/x509/request.h"

namespace signet::agent {
namespace {

// The wall clock may be set while we wait: never trust a plan for longer than this.
constexpr Duration kLongestNap = std::chrono::seconds(5);

identity::BundleMap OwnBundle(const Snapshot& snapshot) {
  identity::BundleMap bundles;
  if (const BundlePtr own = snapshot.FindBundle(snapshot.trust_domain))
    bundles.emplace(snapshot.trust_domain, own->bundle);
  return bundles;
}

}  // namespace

Minter::Minter(Cache& cache, SvidIssuer& issuer, const Clock& clock, Random& random,
               const Logger& log, Metrics& metrics)
    : cache_(cache),
      issuer_(issuer),
      clock_(clock),
      log_(log),
      minted_(
          metrics.Counter("signet_agent_svids_minted_total", "X.509-SVIDs received and taken on")),
      failed_(metrics.Counter("signet_agent_svid_mint_failures_total",
                              "X.509-SVIDs asked for and not received, or refused")),
      schedule_(clock, random) {}

Minter::~Minter() { Stop(); }

void Minter::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Minter::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Minter::Wake() {
  {
    const std::lock_guard lock(mutex_);
    awake_ = true;
  }
  changed_.notify_one();
}

void Minter::Want(const std::vector<std::string>& ids) {
  {
    const std::lock_guard lock(mutex_);
    schedule_.Want(ids);
    awake_ = true;
  }
  changed_.notify_one();
}

void Minter::OnConnected() {
  {
    const std::lock_guard lock(mutex_);
    schedule_.ForgiveFailures();
    awake_ = true;
  }
  changed_.notify_one();
}

void Minter::Loop() {
  while (true) {
    const Duration nap = RunOnce();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, nap, [&] { return awake_ || stopping_; });
    if (stopping_) return;
    awake_ = false;
  }
}

Duration Minter::RunOnce() {
  cache_.DropExpired(clock_.Now());
  const std::vector<EntryPtr> due = Plan();
  if (!due.empty()) Mint(due);
  const std::lock_guard lock(mutex_);
  return std::min(schedule_.UntilNextDue().value_or(kLongestNap), kLongestNap);
}

std::vector<EntryPtr> Minter::Plan() {
  const SnapshotPtr snapshot = cache_.Current();
  const std::lock_guard lock(mutex_);
  schedule_.Update(*snapshot);
  NoteBundle(*snapshot);
  return schedule_.TakeDue(kMintBatch);
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
  for (const EntryPtr& entry : due) {
    auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
    auto request = key ? ca::MakeRequest(*key) : Result<Bytes>(Fail(key.error()));
    if (!request) {
      log_.Error("cannot make a key for a workload",
                 {{"entry", entry->id}, {"error", request.error().Message()}});
      const std::lock_guard lock(mutex_);
      schedule_.Failed(entry->id);
      continue;
    }
    requests.push_back({entry->id, std::move(*request)});
    jobs.push_back({entry, std::move(*key)});
  }
  auto issued = issuer_.Issue(requests);
  const SnapshotPtr snapshot = cache_.Current();
  std::vector<Result<SvidPtr>> outcomes;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!issued) {
      outcomes.push_back(Fail(issued.error()));
    } else if (i >= issued->size() || !(*issued)[i]) {
      outcomes.push_back(Fail(i < issued->size()
                                  ? (*issued)[i].error()
                                  : Error{Code::kInternal, kMintedWrong, "no result"}));
    } else {
      outcomes.push_back(CheckMinted(jobs[i], std::move(*(*issued)[i]), *snapshot));
    }
  }
  Report(jobs, std::move(outcomes));
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
  svid->id = verified.id;
  svid->chain_der = ca::ConcatenateDer(chain);
  svid->chain = std::move(chain);
  svid->key = job.key.ToPkcs8();
  svid->entry_revision = job.entry->revision_number;
  svid->entry_created_at = job.entry->created_at;
  return SvidPtr(std::move(svid));
}

void Minter::Report(const std::vector<Job>& jobs, std::vector<Result<SvidPtr>> outcomes) {
  std::vector<std::pair<std::string, SvidPtr>> fresh;
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
  cache_.Install(std::move(fresh));
}

}  // namespace signet::agent
