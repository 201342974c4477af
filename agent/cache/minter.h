// Keeps an SVID, with a fresh key made here, for every entry: takes what is due from the schedule,
// asks the server for certificates in batches, checks what comes back and puts it into the cache.
//
// Threads: three of its own between Start() and Stop(), one of them only for what a workload waits
// for, so that it never stands behind the rest; everything public is safe from any thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "agent/cache/cache.h"
#include "agent/cache/interest.h"
#include "agent/cache/mint_schedule.h"
#include "base/log.h"
#include "base/metrics.h"
#include "identity/svid/x509_svid.h"

namespace signet::agent {

inline constexpr Reason kServerAway{"server not reachable"};
inline constexpr Reason kMintedWrong{"server minted something else than was asked for"};
// In one call: few enough that it ends soon (SPIRE's bound is 500), so that one who begins to wait
// is not kept waiting by it; enough that the call itself costs little.
inline constexpr std::size_t kMintBatch = 100;

// What is asked of the server for one entry.
struct MintRequest {
  std::string entry_id;
  Bytes request;         // PKCS#10, DER
  bool renewal = false;  // of an SVID that is held
};

// What became of a batch.
struct IssueAnswer {
  // One result per request, same order. Fails as a whole with kServerAway when nothing was tried.
  Result<std::vector<Result<ca::Chain>>> results;
  // The server asks not to be asked again before.
  std::optional<Duration> retry_after;
};

// The server's half: identity, names and lifetime come from there.
class SvidIssuer {
 public:
  virtual ~SvidIssuer() = default;
  // False: Issue() would fail with kServerAway; no key needs to be made for it.
  virtual bool IsReachable() const = 0;
  // May block, bounded. Called by several threads at once.
  virtual IssueAnswer Issue(const std::vector<MintRequest>& requests) = 0;
};

struct MinterParts {
  Cache& cache;
  SvidIssuer& issuer;
  const Interest& interest;
  const Clock& clock;
  Random& random;
  const Logger& log;
  Metrics& metrics;
};

class Minter {
 public:
  using Lane = MintSchedule::Lane;

  explicit Minter(const MinterParts& parts, const MintOptions& options = {});
  ~Minter();

  void Start();
  void Stop();
  // The cache changed.
  void Wake();
  void Want(const std::vector<std::string>& ids);
  // The server answers (again).
  void OnConnected();

  // Entries without an SVID because the bound on SVIDs is reached.
  std::size_t without_room() const;
  // As MintSchedule has it.
  SvidCounts Count() const;
  std::vector<SvidStanding> Standings(std::size_t limit) const;

  // One round: learns the cache, mints at most a batch. Answers how long nothing will be due.
  // Called by the threads; public for tests.
  Duration RunOnce(Lane lane);

 private:
  struct Job {
    EntryPtr entry;
    ca::PrivateKey key;
  };
  void Loop(Lane lane);
  std::vector<EntryPtr> Plan(Lane lane);
  void NoteBundle(const Snapshot& snapshot);
  void Mint(const std::vector<EntryPtr>& due);
  std::vector<Result<SvidPtr>> Outcomes(const std::vector<Job>& jobs, IssueAnswer answer);
  Result<SvidPtr> CheckMinted(const Job& job, ca::Chain chain, const Snapshot& snapshot) const;
  void Report(const std::vector<Job>& jobs, std::vector<Result<SvidPtr>> outcomes);
  void NotePause(std::optional<Duration> retry_after);
  void ExportMetrics(Metrics& metrics);

  Cache& cache_;
  SvidIssuer& issuer_;
  const Clock& clock_;
  Random& random_;
  const Logger& log_;
  const ca::KeyType key_type_;
  Counter& minted_;
  Counter& failed_;
  mutable IssuerPool issuers_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  MintSchedule schedule_;
  BundlePtr bundle_;           // the own bundle last looked at
  SteadyTime paused_until_{};  // as the server asked
  std::uint64_t changes_ = 0;  // of the cache, and of what is wanted
  std::uint64_t wants_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace signet::agent
