// Whom the trust domain refuses before their SVIDs end: denials as the server keeps them and as
// agents and proxies hold them, and the question they all ask of the set.
//
// Threads: values; a DenialSet is immutable and shared.
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
#include "identity/spiffe/spiffe_id.h"

namespace signet::identity {

inline constexpr Reason kIdentityRevoked{"identity is revoked"};
inline constexpr Reason kDenialMalformed{"malformed denial"};

// Numbered as signet.revocation.v1 and signet.sync.v1 do. One of a newer version is kept, matches
// nobody, and is passed on.
enum class DenialKind : std::uint8_t { kUnknown = 0, kSpiffeId = 1, kSerial = 2, kAgent = 3 };
std::string_view DenialKindName(DenialKind kind);  // "spiffe_id", "serial", "agent", "unknown"

struct Denial {
  std::string id;  // of the denial itself
  DenialKind kind = DenialKind::kUnknown;
  // A SPIFFE ID (of kAgent: the agent's), or an X.509 serial number in lower-case hex.
  std::string subject;
  std::int64_t created_at = 0;  // Unix seconds
  std::int64_t until = 0;       // Unix seconds; holds before it; 0: for good
  std::string reason;           // for people
  std::string created_by;       // who asked for it

  bool HoldsAt(WallTime now) const { return until == 0 || UnixSeconds(now) < until; }
  friend bool operator==(const Denial&, const Denial&) = default;
};
using DenialPtr = std::shared_ptr<const Denial>;

inline constexpr std::size_t kMaxDenials = 65536;  // of one trust domain
inline constexpr std::size_t kMaxDenialTextBytes = 512;

// The subject in its one spelling: an ID as it is; a serial in lower-case hex without leading
// zeros, colons or "0x". Fails with kDenialMalformed or kSpiffeIdMalformed.
Result<std::string> NormalizeDenialSubject(DenialKind kind, std::string_view subject);

class DenialSet {
 public:
  // Sorted by id; of two with one id the later counts.
  static std::shared_ptr<const DenialSet> Create(std::vector<DenialPtr> denials);

  // The denial that holds for an SVID of `id` with this serial (hex, in any spelling
  // NormalizeDenialSubject() takes; empty: not asked); null: none.
  const Denial* Find(const SpiffeId& id, std::string_view serial, WallTime now) const;
  const std::vector<DenialPtr>& all() const { return denials_; }
  bool empty() const { return denials_.empty(); }
  DenialPtr FindById(std::string_view denial_id) const;
  // The denial of this kind over this subject, whether it holds or not; null: none.
  DenialPtr FindSame(DenialKind kind, std::string_view subject) const;
  // As defined in signet/sync/v1/sync.proto, "Digest of denials".
  const ca::Sha256Digest& digest() const { return digest_; }

 private:
  explicit DenialSet(std::vector<DenialPtr> denials);
  const Denial* FindSubject(const std::string& key, WallTime now) const;

  std::vector<DenialPtr> denials_;
  std::unordered_multimap<std::string, const Denial*> by_subject_;
  ca::Sha256Digest digest_{};
};
using DenialSetPtr = std::shared_ptr<const DenialSet>;

}  // namespace signet::identity
