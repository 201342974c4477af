// The hash chain over the log: each record's hash covers the record and the hash before it, so that
// changing, removing or inserting one shows in every later hash. Checkpoints are signed heads: they
// show a cut tail too.
//
// Pure functions; safe from any thread.
#pragma once

#include <optional>

#include "base/result.h"
#include "ca/crypto/key.h"
#include "identity/audit/audit_record.h"

namespace signet::identity {

inline constexpr Reason kLogChainBroken{"the log was changed"};
inline constexpr Reason kLogCut{"the log was cut"};
inline constexpr Reason kCheckpointForged{"checkpoint is not signed by the log key"};

// What stands before the first record: 32 zero bytes.
inline constexpr ca::Sha256Digest kLogChainStart{};

// An encoding in which no two different records are alike: a version line, then each field in the
// order of the struct, texts as a 4-byte length and the bytes, numbers as 8 bytes, all big-endian.
// Records without an event have the issuance journal's first encoding, which the format's page
// describes.
Bytes CanonicalRecord(const AuditRecord& record);

// SHA-256(previous || canonical record).
ca::Sha256Digest NextLogHash(const ca::Sha256Digest& previous, const AuditRecord& record);

// What a checkpoint's signature covers.
Bytes CheckpointMessage(std::string_view trust_domain, const LogHead& head, std::int64_t made_at);

// Fails with kCheckpointForged, also when the checkpoint's key is not `log_key` (when given).
Status VerifyCheckpoint(std::string_view trust_domain, const LogCheckpoint& checkpoint,
                        const std::optional<Bytes>& log_key);

// Follows the chain from `base` (what was pruned away, or the start), record by record.
class LogVerifier {
 public:
  explicit LogVerifier(const LogHead& base = {}) : head_(base) {}

  // Fails with kLogChainBroken, naming the record, when it is not the next one unchanged.
  Status Follow(const LoggedRecord& record);
  const LogHead& head() const { return head_; }

 private:
  LogHead head_;
};

}  // namespace signet::identity
