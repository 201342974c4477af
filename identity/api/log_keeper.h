// Keeps the log honest: signs its head each minute and at the end, remembers the newest signed head
// outside the database, and records refusals (which change nothing and so have no transaction of
// their own) without letting whoever causes them fill the disk.
//
// Threads: safe from any thread. Tick() is the housekeeping thread's; RefusalLog::Add() never waits
// for the database.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "ca/keys/key_store.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/store/store.h"

namespace signet::identity {

inline constexpr Reason kLogOlder{"the log is older than its last checkpoint"};

// Of so many kinds the log tells refusals apart in one turn.
inline constexpr std::size_t kRefusalKinds = 256;

// Refusals since the last turn, told apart by who, what and why; of one kind only the number.
class RefusalLog {
 public:
  RefusalLog(const Clock& clock, Metrics& metrics);
  // `actor` by verified facts, `object` the method or the thing asked for.
  void Add(const Actor& actor, std::string_view object, std::string_view why);
  // What was added, by kind; what there was no room for is only counted.
  struct Gathered {
    using Kind = std::tuple<std::string, std::string, std::string>;  // who, what, why
    std::map<Kind, std::uint64_t> counts;
    std::uint64_t beyond = 0;
    bool empty() const { return counts.empty() && beyond == 0; }
  };
  Gathered Take();
  // What could not be recorded: it counts as added, within the same bound.
  void PutBack(const Gathered& gathered);
  std::vector<AuditRecord> RecordsOf(const Gathered& gathered) const;

 private:
  void AddLocked(const Gathered::Kind& kind, std::uint64_t count);
  const Clock& clock_;
  Counter& dropped_;
  std::mutex mutex_;
  Gathered gathered_;
};

class LogKeeper {
 public:
  struct Parts {
    Store& store;
    ca::KeyStore& keys;
    const TrustDomain& trust_domain;
    const std::string& head_file;  // where the newest checkpoint is kept outside the database
    const Clock& clock;
    const Logger& log;
    Metrics& metrics;
  };

  // Makes the log key when there is none. A log that is behind the checkpoint in `head_file` or
  // does not hold it (an older database was put back, or records were cut off) is said in the
  // program's log, recorded in this one, and stands in health until the next start; serving goes
  // on.
  static Result<std::unique_ptr<LogKeeper>> Start(const Parts& parts);

  RefusalLog& refusals() { return refusals_; }
  // Records refusals; signs a checkpoint when a minute has passed and anything was recorded.
  // Refusals that cannot be recorded are kept for the next turn.
  Status Tick();
  // Signs the head now, unless it is signed already.
  Result<LogCheckpoint> MakeCheckpoint();
  // Removes records made before `before` as far as a checkpoint covers them; answers how many.
  Result<std::uint64_t> Prune(std::int64_t before, const Actor& by);
  // Ok, or kLogOlder saying what was found at the start.
  Status Found() const;

 private:
  LogKeeper(const Parts& parts, std::shared_ptr<const ca::Signer> key);
  Status CompareWithHeadFile();
  Status WriteHeadFile(const LogCheckpoint& checkpoint) const;
  Result<LogCheckpoint> Sign(const LogHead& head) const;

  Store& store_;
  const TrustDomain trust_domain_;
  const std::string head_file_;
  const Clock& clock_;
  const Logger& log_;
  const std::shared_ptr<const ca::Signer> key_;
  RefusalLog refusals_;
  Status found_;

  std::mutex mutex_;  // one checkpoint at a time
  LogCheckpoint last_;
  SteadyTime next_{};
};

}  // namespace signet::identity
