// Which SVIDs are to be minted now, and when the next ones are: one small record per entry. Decides
// only; minter.h acts.
//
// Threads: none of its own; guarded by its owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/cache/renewal.h"
#include "agent/cache/snapshot.h"

namespace signet::agent {

class MintSchedule {
 public:
  MintSchedule(const Clock& clock, Random& random, BackoffPolicy backoff = {})
      : clock_(clock), random_(random), backoff_(backoff) {}

  // Learns the entries. New and changed ones become due, gone ones are forgotten. An SVID of
  // `snapshot` that this schedule does not know (kept from before a restart) is taken on as it is.
  void Update(const Snapshot& snapshot);
  // A workload waits for these entries: they come first, prefetched or not. Ids not known are
  // ignored.
  void Want(const std::vector<std::string>& ids);
  // SVIDs signed by one of these authorities (subject key ids), or by none of `trusted`, are due.
  void Distrust(const std::set<Bytes>& tainted, const std::set<Bytes>& trusted);

  // At most `limit` entries that are due and not being minted: those a workload waits for, then
  // those without an SVID, then the soonest to expire. They count as being minted until reported.
  std::vector<EntryPtr> TakeDue(std::size_t limit);
  // `entry` is the one taken. An SVID for a version that is no longer current leaves the entry due.
  void Succeeded(const AuthorizedEntry& entry, const IssuedSvid& svid);
  void Failed(const std::string& id);
  // The server answers again: whoever waits only because of failures is due at once.
  void ForgiveFailures();

  // How long until something is due; absent when nothing is planned.
  std::optional<Duration> UntilNextDue() const;
  std::size_t size() const { return slots_.size(); }

 private:
  struct Slot {
    EntryPtr entry;
    bool has_svid = false;
    WallTime renew_at;  // with an SVID
    WallTime not_after;
    Bytes authority_key_id;
    bool stale = false;  // the entry changed, or what signed the SVID is not to be used
    bool wanted = false;
    bool in_flight = false;
    unsigned failures = 0;
    SteadyTime retry_at{};
  };
  void TakeOn(Slot* slot, const IssuedSvid& svid);
  bool IsNeeded(const Slot& slot) const;
  bool IsDue(const Slot& slot, WallTime now, SteadyTime steady) const;

  const Clock& clock_;
  Random& random_;
  const BackoffPolicy backoff_;
  std::shared_ptr<const EntrySet> known_;  // what slots_ was made from
  std::map<std::string, Slot> slots_;
};

}  // namespace signet::agent
