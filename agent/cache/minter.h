// Keeps an SVID, with a fresh key made here, for every entry: takes what is due from the schedule,
// asks the server for certificates in batches, checks what comes back and puts it into the cache.
//
// Threads: one of its own between Start() and Stop(); everything public is safe from any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "agent/cache/cache.h"
#include "agent/cache/mint_schedule.h"
#include "base/log.h"
#include "base/metrics.h"
#include "identity/svid/x509_svid.h"

namespace signet::agent {

inline constexpr Reason kServerAway{"server not reachable"};
inline constexpr Reason kMintedWrong{"server minted something else than was asked for"};
inline constexpr std::size_t kMintBatch = 500;  // SPIRE's bound on one BatchNewX509SVID

// What is asked of the server for one entry.
struct MintRequest {
  std::string entry_id;
  Bytes request;  // PKCS#10, DER
};

// The server's half: identity, names and lifetime come from there.
class SvidIssuer {
 public:
  virtual ~SvidIssuer() = default;
  // One result per request, same order. May block, bounded. Fails as a whole with kServerAway when
  // nothing was tried.
  virtual Result<std::vector<Result<ca::Chain>>> Issue(
      const std::vector<MintRequest>& requests) = 0;
};

class Minter {
 public:
  Minter(Cache& cache, SvidIssuer& issuer, const Clock& clock, Random& random, const Logger& log,
         Metrics& metrics);
  ~Minter();

  void Start();
  void Stop();
  // The cache changed.
  void Wake();
  void Want(const std::vector<std::string>& ids);
  // The server answers (again).
  void OnConnected();

  // One round: learns the cache, mints at most a batch. Answers how long nothing will be due.
  // Called by the thread; public for tests.
  Duration RunOnce();

 private:
  struct Job {
    EntryPtr entry;
    ca::PrivateKey key;
  };
  void Loop();
  std::vector<EntryPtr> Plan();
  void NoteBundle(const Snapshot& snapshot);
  void Mint(const std::vector<EntryPtr>& due);
  Result<SvidPtr> CheckMinted(const Job& job, ca::Chain chain, const Snapshot& snapshot) const;
  void Report(const std::vector<Job>& jobs, std::vector<Result<SvidPtr>> outcomes);

  Cache& cache_;
  SvidIssuer& issuer_;
  const Clock& clock_;
  const Logger& log_;
  Counter& minted_;
  Counter& failed_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  MintSchedule schedule_;
  BundlePtr bundle_;  // the own bundle last looked at
  bool awake_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::agent
