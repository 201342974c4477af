// The registration entries this agent may serve, with their SVIDs: an immutable set that answers
// which ones a caller is granted. A set made from another one shares with it what did not change.
//
// Threads: immutable but for the digest, which is reckoned at first use, under a lock; sets may be
// copied and used by any threads.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/cache/issued_svid.h"
#include "agent/cache/persistent_map.h"
#include "ca/crypto/digest.h"

namespace signet::agent {

struct HeldEntry {
  EntryPtr entry;
  SvidPtr svid;                     // null: none yet, or expired
  std::uint32_t indexed_under = 0;  // which of its selectors it is found by
};

class EntrySet {
 public:
  // What is done to one entry: `entry` null: removed.
  struct Change {
    std::string id;
    EntryPtr entry;
  };

  EntrySet();

  std::size_t size() const { return held_.size(); }
  // Null when not known; lives as long as the set.
  const HeldEntry* Find(std::string_view id) const { return held_.Find(id); }
  // Ascending by id, compared as bytes.
  template <class Visit>
  void ForEach(Visit visit) const {
    held_.ForEach(visit);
  }
  // visit(const HeldEntry* before, const HeldEntry* after), null where it is not in that set.
  template <class Visit>
  static void Diff(const EntrySet& before, const EntrySet& after, Visit visit) {
    Map::Diff(before.held_, after.held_, visit);
  }
  bool SharesAllWith(const EntrySet& other) const { return held_.SharesAllWith(other.held_); }

  // No id twice. An SVID stays with its entry while the entry names the same SPIFFE ID.
  EntrySet WithEntries(const std::vector<Change>& changes) const;
  // Null: taken back. Ids not known are passed over, and so are SVIDs of another SPIFFE ID than the
  // entry's.
  EntrySet WithSvids(const std::vector<std::pair<std::string, SvidPtr>>& svids) const;

  // Ascending by id, the entries whose selectors are all in `held`: neither expired nor store_svid.
  // An entry without selectors is granted to nobody. Costs what is found by the rarest selectors
  // of the entries, not what is held.
  std::vector<HeldEntry> Match(const identity::SelectorSet& held, WallTime now) const;

  // As defined in signet/sync/v1/sync.proto, "Digest of entries".
  ca::Sha256Digest digest() const;

 private:
  struct HeldTraits {
    static std::string_view KeyOf(const HeldEntry& held) { return held.entry->id; }
    static std::uint64_t Priority(std::string_view id);
  };
  using Map = PersistentMap<HeldEntry, HeldTraits>;
  struct EntryTraits {
    static std::string_view KeyOf(const EntryPtr& entry) { return entry->id; }
    static std::uint64_t Priority(std::string_view id) { return HeldTraits::Priority(id); }
  };
  // One selector: how many entries need it, and those that are found by it.
  struct Row {
    identity::Selector selector;
    std::size_t uses = 0;
    PersistentMap<EntryPtr, EntryTraits> entries;
  };
  using RowPtr = std::shared_ptr<const Row>;
  struct RowTraits {
    static const identity::Selector& KeyOf(const RowPtr& row) { return row->selector; }
    static std::uint64_t Priority(const identity::Selector& selector);
  };
  struct DigestCell {
    std::mutex mutex;
    std::optional<ca::Sha256Digest> value;
  };

  void Put(EntryPtr entry);
  void Remove(const HeldEntry& held);
  void Rebuild(std::vector<HeldEntry> sorted);
  void Count(const AuthorizedEntry& entry, bool more);
  std::uint32_t RarestSelector(const AuthorizedEntry& entry) const;
  std::vector<HeldEntry> Merge(const std::vector<Change>& changes) const;

  Map held_;
  // Each entry is found by its rarest selector only: a caller holds that one or is not granted it.
  PersistentMap<RowPtr, RowTraits> rows_;
  std::shared_ptr<DigestCell> digest_;  // of these entries, whatever their SVIDs
};

}  // namespace signet::agent
