// Chains that verified before, with the verdict: building and checking a path costs more than all
// else a known peer's handshake asks of us. A verdict says only that the chain is good; that the
// peer holds the leaf's key it must prove each time.
//
// A verdict is found again only for the very same certificates in the same order (the leaf's trust
// domain among what they say), against the very same bundles, and from when it was made until the
// earliest end on its path. Refusals are not kept: a stranger leaves nothing here.
//
// Threads: safe from any thread.
#pragma once

#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <utility>

#include "ca/crypto/digest.h"
#include "ca/x509/certificate.h"
#include "identity/bundle/bundle.h"

namespace signet::identity {

// SHA-256 over the certificates' fingerprints, in order.
ca::Sha256Digest DigestOfChain(std::span<const ca::Certificate> chain);

// `Verdict` has a `WallTime valid_until`.
template <class Verdict>
class VerdictCache {
 public:
  // The bundles a verdict rests on; immutable, so that the pointer is their version.
  using Bundles = std::shared_ptr<const BundleMap>;
  using VerdictPtr = std::shared_ptr<const Verdict>;

  // Holds at most `limit` verdicts (two or more); those found lately go last.
  explicit VerdictCache(std::size_t limit = 2048) : half_(limit / 2) {}

  // Null when the chain has to be verified.
  VerdictPtr Find(std::span<const ca::Certificate> presented, const Bundles& bundles,
                  WallTime now) {
    const ca::Sha256Digest digest = DigestOfChain(presented);
    const std::lock_guard lock(mutex_);
    if (bundles != bundles_) return nullptr;
    if (const auto found = young_.find(digest); found != young_.end())
      return found->second.Good(now);
    const auto found = old_.find(digest);
    if (found == old_.end()) return nullptr;
    const Kept kept = found->second;
    old_.erase(found);
    Insert(digest, kept);
    return kept.Good(now);
  }

  // `presented` was verified against `bundles` at `now`. Verdicts on other bundles are forgotten.
  void Keep(std::span<const ca::Certificate> presented, const Bundles& bundles, WallTime now,
            VerdictPtr verdict) {
    const ca::Sha256Digest digest = DigestOfChain(presented);
    const std::lock_guard lock(mutex_);
    if (bundles != bundles_) {
      young_.clear();
      old_.clear();
      bundles_ = bundles;
    }
    old_.erase(digest);
    Insert(digest, {std::move(verdict), now});
  }

  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return young_.size() + old_.size();
  }

 private:
  struct Kept {
    VerdictPtr verdict;
    WallTime since;  // a clock that was set back does not reach behind it
    VerdictPtr Good(WallTime now) const {
      return since <= now && now < verdict->valid_until ? verdict : nullptr;
    }
  };
  struct FirstBytes {
    std::size_t operator()(const ca::Sha256Digest& digest) const {
      std::size_t hash = 0;
      static_assert(sizeof digest >= sizeof hash);
      std::memcpy(&hash, digest.data(), sizeof hash);
      return hash;
    }
  };
  using Table = std::unordered_map<ca::Sha256Digest, Kept, FirstBytes>;

  void Insert(const ca::Sha256Digest& digest, Kept kept) {
    if (young_.size() >= half_ && !young_.contains(digest)) old_ = std::exchange(young_, Table());
    young_.insert_or_assign(digest, std::move(kept));
  }

  const std::size_t half_;
  mutable std::mutex mutex_;
  Bundles bundles_;  // guarded by mutex_, as are the tables
  Table young_;      // kept or found since the last time it was full
  Table old_;        // before that
};

}  // namespace signet::identity
