// The registration entries this agent may serve: what an entry means to an agent, and an immutable
// set of them that answers which ones a caller is granted.
//
// Threads: immutable after Create(); shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "ca/crypto/digest.h"
#include "identity/spiffe/selector.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::agent {

struct AuthorizedEntry {
  std::string id;
  identity::SpiffeId spiffe_id;
  identity::SelectorSet selectors;
  std::vector<identity::TrustDomain> federates_with;
  std::int64_t revision_number = 0;
  std::int64_t created_at = 0;  // Unix seconds
  std::int64_t expires_at = 0;  // Unix seconds; 0: never
  std::string hint;
  bool store_svid = false;  // kept by a store plug-in, not granted to workloads
  bool disable_x509_svid_prefetch = false;

  // Any update raises the revision, also one of fields not kept here; an entry made anew under its
  // old id has another creation time.
  bool IsSameVersionAs(const AuthorizedEntry& other) const {
    return revision_number == other.revision_number && created_at == other.created_at;
  }
  bool HasExpired(WallTime now) const { return expires_at != 0 && UnixSeconds(now) >= expires_at; }
};

using EntryPtr = std::shared_ptr<const AuthorizedEntry>;

class EntrySet {
 public:
  // Sorts by id. Ids must be unique.
  static std::shared_ptr<const EntrySet> Create(std::vector<EntryPtr> entries);

  // Ascending by id, compared as bytes.
  const std::vector<EntryPtr>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  std::optional<std::size_t> Find(std::string_view id) const;

  // Positions, ascending, of the entries whose selectors are all in `held`: neither expired nor
  // store_svid. An entry without selectors is granted to nobody.
  std::vector<std::size_t> Match(const identity::SelectorSet& held, WallTime now) const;

  // As defined in signet/sync/v1/sync.proto, "Digest of entries".
  const ca::Sha256Digest& digest() const { return digest_; }

 private:
  explicit EntrySet(std::vector<EntryPtr> entries);
  void BuildIndex();
  void BuildDigest();

  std::vector<EntryPtr> entries_;
  // Each entry stands under its rarest selector only: a caller holds that one or is not granted it.
  std::unordered_map<std::string, std::vector<std::size_t>> by_selector_;
  ca::Sha256Digest digest_{};
};

}  // namespace signet::agent
