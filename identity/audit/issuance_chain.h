// The hash chain over the issuance journal: each record's hash covers the record and the hash
// before it, so that changing, removing or inserting one shows in every later hash. Whoever keeps
// one hash elsewhere can prove all before it unchanged.
#pragma once

#include "ca/crypto/digest.h"
#include "identity/store/store.h"

namespace signet::identity {

inline constexpr Reason kIssuanceChainBroken{"issuance journal was changed"};

// What stands before the first record: 32 zero bytes.
inline constexpr ca::Sha256Digest kIssuanceChainStart{};

// An encoding in which no two different records are alike: a version line, then each field in the
// order of the struct, texts as a 4-byte length and the bytes, numbers as 8 bytes, all big-endian.
Bytes CanonicalIssuance(const IssuanceRecord& record);

// SHA-256(previous || canonical record).
ca::Sha256Digest NextIssuanceHash(const ca::Sha256Digest& previous, const IssuanceRecord& record);

}  // namespace signet::identity
