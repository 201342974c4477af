// Which SVIDs are to be minted now, and when the next ones are: one small record per entry. Decides
// only; minter.h acts. A change costs what it changes, and what is due is found without looking at
// the rest.
//
// The number of SVIDs held is bounded. Those that callers with open streams use have the first
// claim; for one of them the SVID of an entry nobody uses is given up.
//
// Threads: none of its own; guarded by its owner.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "agent/cache/renewal.h"
#include "agent/cache/snapshot.h"
#include "base/backoff.h"
#include "base/random.h"

namespace signet::agent {

struct MintOptions {
  BackoffPolicy backoff;
  std::size_t most_svids = 20'000;              // held at once, those being minted included
  ca::KeyType key_type = ca::KeyType::kEcP256;  // of the keys of workloads
};

// How the SVIDs stand. Each entry counts once, but for `refused`.
enum class SvidState : std::uint8_t {
  kOnDemand,     // none, nobody asked for one, and its entry says not to mint before
  kFresh,        // held; its renewal is still to come, or going on
  kLate,         // held; half of the time from the planned renewal to its end has passed
  kLost,         // it expired before it could be renewed
  kMissing,      // none yet
  kWithoutRoom,  // none, because the bound is reached
};

struct SvidCounts {
  std::size_t on_demand = 0, fresh = 0, late = 0, lost = 0, missing = 0, without_room = 0;
  std::size_t refused = 0;  // of the missing ones: minting failed at least once
  std::optional<WallTime> soonest_end;
};

struct SvidStanding {
  std::string entry_id;
  identity::SpiffeId spiffe_id;
  SvidState state = SvidState::kMissing;
  std::optional<WallTime> not_after, renew_at;  // absent: none is held
  unsigned failures = 0;
};

class MintSchedule {
 public:
  // Ids of the entries whose SVIDs somebody uses now.
  using InUse = std::function<std::unordered_set<std::string>(const EntrySet&)>;

  MintSchedule(const Clock& clock, Random& random, MintOptions options = {}, InUse in_use = {})
      : clock_(clock), random_(random), options_(options), in_use_(std::move(in_use)) {}

  // Learns the entries. New and changed ones become due, gone ones are forgotten. An SVID of
  // `snapshot` that this schedule does not know (kept from before a restart) is taken on as it is.
  void Update(const Snapshot& snapshot);
  // A workload waits for these entries: they come first, prefetched or not. Ids not known are
  // ignored.
  void Want(const std::vector<std::string>& ids);
  // SVIDs signed by one of these authorities (subject key ids), or by none of `trusted`, are due.
  void Distrust(const std::set<Bytes>& tainted, const std::set<Bytes>& trusted);

  // What one who mints takes.
  enum class Lane {
    kWaiting,  // only what a workload waits for, so that it never stands behind anything else
    kAny,
  };
  // At most `limit` entries that are due and not being minted: those a workload waits for, then
  // those whose SVID is due for renewal, the soonest to expire first, then those without one. They
  // count as being minted until reported.
  std::vector<EntryPtr> TakeDue(std::size_t limit, Lane lane = Lane::kAny);
  // `entry` is the one taken. An SVID for a version that is no longer current leaves the entry due.
  void Succeeded(const AuthorizedEntry& entry, const IssuedSvid& svid);
  void Failed(const std::string& id);
  // The server answers again: whoever waits only because of failures is due at once.
  void ForgiveFailures();

  // Ids of the entries whose SVIDs have ended; each is told once.
  std::vector<std::string> TakeExpired();
  // Ids of the entries whose SVIDs were given up for others since the last call.
  std::vector<std::string> TakeGivenUp();

  // How long until something is due; absent when nothing is planned.
  std::optional<Duration> UntilNextDue(Lane lane = Lane::kAny) const;
  std::size_t size() const { return slots_.size(); }
  // SVIDs held or being minted.
  std::size_t held() const { return held_; }
  // How often a workload waited for an SVID and there was no room for it.
  std::uint64_t refused() const { return refused_; }
  // Entries that have no SVID because there is no room.
  std::size_t without_room() const { return parked_.size() + refused_now_; }
  // Looks at each entry.
  SvidCounts Count() const;
  // At most `limit`: those that are owed an SVID, then those that hold one by when it ends.
  std::vector<SvidStanding> Standings(std::size_t limit) const;

 private:
  enum class Place { kNowhere, kReady, kUntilWall, kUntilSteady, kParked };
  enum class Urgency { kWaiting, kRenewal, kWarmUp };
  struct Slot {
    EntryPtr entry;
    IssuersPtr issuers;  // of the SVID held; null: none is
    WallTime renew_at;
    WallTime not_after;
    SteadyTime retry_at{};
    unsigned failures = 0;
    bool stale = false;  // the entry changed, or what signed the SVID is not to be used
    bool wanted = false;
    bool in_flight = false;
    bool refused = false;  // wanted, and there was no room
    bool lost = false;     // the last one ended before there was another
    Place place = Place::kNowhere;
    Urgency urgency = Urgency::kWarmUp;

    bool Occupies() const { return issuers != nullptr || in_flight; }
  };
  struct ReadyKey {
    Urgency urgency;
    WallTime not_after;
    std::string_view id;
    friend auto operator<=>(const ReadyKey&, const ReadyKey&) = default;
  };

  void OnDifference(const HeldEntry* before, const HeldEntry* after);
  void TakeOn(Slot* slot, const IssuedSvid& svid);
  // Takes the slot out of the sets, changes it, and puts it where it then belongs.
  template <class Action>
  void Change(Slot* slot, Action action);
  void Enter(Slot* slot);
  void Leave(Slot* slot);
  void Forget(Slot* slot);
  SvidState StateOf(const Slot& slot, WallTime now) const;
  void Promote();
  void Unpark();
  // Whether there is room for one more, after one was given up for it if need be.
  bool MakeRoom(const Slot& slot, std::optional<std::vector<Slot*>>* unused);
  std::vector<Slot*> Unused();
  static ReadyKey KeyOf(const Slot& slot) {
    return {slot.urgency, slot.issuers ? slot.not_after : WallTime{}, slot.entry->id};
  }

  const Clock& clock_;
  Random& random_;
  const MintOptions options_;
  const InUse in_use_;
  EntrySet known_;  // what slots_ was made from
  std::unordered_map<std::string, Slot> slots_;
  std::map<ReadyKey, Slot*> ready_;
  std::set<std::pair<WallTime, Slot*>> until_wall_;
  std::set<std::pair<SteadyTime, Slot*>> until_steady_;
  std::set<Slot*> parked_;                     // due, not waited for, and no room
  std::set<std::pair<WallTime, Slot*>> ends_;  // all with an SVID
  std::vector<std::string> given_up_;
  std::size_t held_ = 0;
  std::size_t refused_now_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace signet::agent
